// Cross-entropies, at one instruction-set level.
#include "../functions/cross_entropy.h"
#include "family.h"

namespace sigmax {
namespace {

template <class W>
using PlainIndex = IndexCrossEntropy<W, false>;
template <class W>
using SmoothedIndex = IndexCrossEntropy<W, true>;
template <class W>
using SoftLabels = WeightedCrossEntropy<W, true, false>;
template <class W>
using LabelWeights = WeightedCrossEntropy<W, false, false>;
template <class W>
using RelativeSoftLabels = WeightedCrossEntropy<W, true, true>;
template <class W>
using RelativeLabelWeights = WeightedCrossEntropy<W, false, true>;
template <class W>
using OfProbabilities_ = CrossEntropyOfProbabilities<W, false>;
template <class W>
using RelativeOfProbabilities = CrossEntropyOfProbabilities<W, true>;

// Without smoothing only the label's class has a weight; what is not shared by all classes is spelled out.
const RowsKernel* of_indices(const RowsCall& call, std::ptrdiff_t row) {
  const bool smoothed = is_smoothed(call, row);
  if (smoothed && !shares_weights(call)) return kernel<LabelWeights>(call, row);
  return smoothed || has_z_loss(call, row) ? kernel<SmoothedIndex>(call, row) : kernel<PlainIndex>(call, row);
}
const RowsKernel* of_distributions(const RowsCall& call, std::ptrdiff_t row) {
  return shares_weights(call) ? kernel<SoftLabels>(call, row) : kernel<LabelWeights>(call, row);
}
const RowsKernel* relative(const RowsCall& call, std::ptrdiff_t row) {
  return shares_weights(call) ? kernel<RelativeSoftLabels>(call, row) : kernel<RelativeLabelWeights>(call, row);
}

constexpr RowsFunction functions[] = {
    {"cross_entropy", 11, 1, {kX, kLabel, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, of_indices, Correct::kCrossEntropy},
    {"cross_entropy_gradient", 11, 2, {kX, kLabel, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, of_indices, Correct::kCrossEntropy},
    {"soft_cross_entropy", 12, 1, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, of_distributions},
    {"soft_cross_entropy_gradient", 12, 2, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, of_distributions},
    {"cross_entropy_of_probabilities", 11, 1, {kX, kLabel, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, kernel<OfProbabilities_>},
    {"cross_entropy_of_probabilities_gradient", 11, 2, {kX, kLabel, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, kernel<OfProbabilities_>},
    {"soft_cross_entropy_of_probabilities", 12, 1, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, kernel<OfProbabilities_>},
    {"soft_cross_entropy_of_probabilities_gradient", 12, 2, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, kernel<OfProbabilities_>},
    {"relative_entropy", 12, 1, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, relative},
    {"relative_entropy_gradient", 12, 2, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, relative},
    {"relative_entropy_of_probabilities", 12, 1, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue}, kernel<RelativeOfProbabilities>},
    {"relative_entropy_of_probabilities_gradient", 12, 2, {kX, kLabel, kSecond, kWeight, kTemperature, kClassWeight, kSmoothing, kPrior, kPriorTotal, kMask, kZLoss, kScale, kValue, kOut}, kernel<RelativeOfProbabilities>},
};

}  // namespace

SIGMAX_EXPORT(sigmax_cross_entropy)

}  // namespace sigmax
