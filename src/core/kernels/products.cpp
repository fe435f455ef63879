// Vector-Jacobian products of functions along an axis, at one instruction-set level.
#include "../functions/entropy.h"
#include "../functions/logsumexp.h"
#include "../functions/probabilities.h"
#include "../functions/softmax.h"
#include "family.h"

namespace sigmax {
namespace {

constexpr RowsFunction functions[] = {
    {"softmax_vjp", 3, 1, {kX, kSecond, kTemperature, kOut}, kernel<SoftmaxVjp>},
    {"log_softmax_vjp", 3, 1, {kX, kSecond, kTemperature, kOut}, kernel<LogSoftmaxVjp>},
    {"logsumexp_vjp", 3, 1, {kX, kCotangent, kTemperature, kOut}, kernel<LogsumexpVjp>},
    {"logsumexp_weighted_vjp", 4, 1, {kX, kSecond, kCotangent, kTemperature, kOut}, kernel<LogsumexpWeightedVjp>},
    {"entropy_vjp", 3, 1, {kX, kCotangent, kTemperature, kOut}, kernel<EntropyVjp>},
    {"inverse_softmax_vjp", 2, 1, {kX, kSecond, kOut}, kernel<InverseSoftmaxVjp>},
    {"entropy_of_probabilities_vjp", 2, 1, {kX, kCotangent, kOut}, kernel<EntropyOfProbabilitiesVjp>},
};

}  // namespace

SIGMAX_EXPORT(sigmax_products)

}  // namespace sigmax
