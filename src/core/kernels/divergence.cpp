// Divergences, the mass of labels and the moments of logits, at one instruction-set level.
#include "../functions/cross_entropy.h"
#include "../functions/divergence.h"
#include "../functions/logit_moments.h"
#include "family.h"

namespace sigmax {
namespace {

template <class W>
using SharedMass = Mass<W, true>;
template <class W>
using WeightedMass = Mass<W, false>;

const RowsKernel* mass(const RowsCall& call, std::ptrdiff_t row) {
  return call[kPrior].class_stride == 0 ? kernel<SharedMass>(call, row) : kernel<WeightedMass>(call, row);
}
const RowsKernel* logit_moments(const RowsCall& call, std::ptrdiff_t) {
  return call.type == kFloat64 ? &Engine<LogitMoments, double>::kernel : &Engine<LogitMoments, float>::kernel;
}

constexpr RowsFunction functions[] = {
    {"divergence", 12, 1, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, kernel<Divergence>},
    {"divergence_gradient", 12, 2, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, kernel<Divergence>},
    {"distillation", 12, 1, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, kernel<Distillation>},
    {"distillation_gradient", 12, 2, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, kernel<Distillation>},
    {"mass", 2, 1, {kX, kPrior, kValue}, mass},
    {"logit_moments", 3, 2, {kX, kTemperature, kReference, kValue, kSecondValue}, logit_moments},
};

}  // namespace

SIGMAX_EXPORT(sigmax_divergence)

}  // namespace sigmax
