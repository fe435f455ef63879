// Functions along an axis, at one instruction-set level.
#include "../functions/correct.h"
#include "../functions/entropy.h"
#include "../functions/logsumexp.h"
#include "../functions/probabilities.h"
#include "../functions/softmax.h"
#include "family.h"

namespace sigmax {
namespace {

constexpr RowsFunction functions[] = {
    {"softmax", 2, 1, {kX, kTemperature, kOut}, kernel_with_halves<Softmax>, Correct::kSoftmax},
    {"log_softmax", 2, 1, {kX, kTemperature, kOut}, kernel_with_halves<LogSoftmax>, Correct::kLogSoftmax},
    {"logsumexp", 2, 1, {kX, kTemperature, kResult}, kernel_with_halves<Logsumexp>, Correct::kLogsumexp},
    {"logsumexp_weighted", 3, 1, {kX, kSecond, kTemperature, kResult}, kernel<LogsumexpWeighted>},
    {"entropy", 2, 1, {kX, kTemperature, kResult}, kernel<Entropy>},
    {"inverse_softmax", 1, 1, {kX, kOut}, kernel<InverseSoftmax>},
    {"entropy_of_probabilities", 1, 1, {kX, kResult}, kernel<EntropyOfProbabilities>},
};

template <template <class> class P>
constexpr const RowsKernel* narrow_kernel = &Engine<P<Vec>, float>::kernel;

constexpr CorrectRows correct = {
    {nullptr, narrow_kernel<CorrectSoftmax>, narrow_kernel<CorrectLog>, narrow_kernel<CorrectLog>, narrow_kernel<CorrectLog>},
    settle,
    put,
};

}  // namespace

SIGMAX_EXPORT(sigmax_normalization, &correct)

}  // namespace sigmax
