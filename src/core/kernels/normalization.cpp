// Functions along an axis, at one instruction-set level.
#include "../functions/entropy.h"
#include "../functions/logsumexp.h"
#include "../functions/probabilities.h"
#include "../functions/softmax.h"
#include "family.h"

namespace sigmax {
namespace {

constexpr RowsFunction functions[] = {
    {"softmax", 2, 1, {kX, kTemperature, kOut}, kernel<Softmax>},
    {"log_softmax", 2, 1, {kX, kTemperature, kOut}, kernel<LogSoftmax>},
    {"logsumexp", 2, 1, {kX, kTemperature, kResult}, kernel<Logsumexp>},
    {"logsumexp_weighted", 3, 1, {kX, kSecond, kTemperature, kResult}, kernel<LogsumexpWeighted>},
    {"entropy", 2, 1, {kX, kTemperature, kResult}, kernel<Entropy>},
    {"inverse_softmax", 1, 1, {kX, kOut}, kernel<InverseSoftmax>},
    {"entropy_of_probabilities", 1, 1, {kX, kResult}, kernel<EntropyOfProbabilities>},
};

}  // namespace

SIGMAX_EXPORT(sigmax_normalization)

}  // namespace sigmax
