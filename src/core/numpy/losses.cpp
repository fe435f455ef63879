// A loss in one call: checked, evaluated and reduced without a step in Python. Logits and labels are exact ndarrays, logits of
// float32 or float64 and labels of their type or of integers; options are numbers, weights ndarrays. Whatever else is given, is
// not legal, leaves rows out by a weight of 0, or has products beyond the range of doubles, is for the general way
// (sigmax/_loss.py): these functions return None then. Each check here is one that is there too; tests/test_plain_losses.py compares the two.
#include <cmath>
#include <utility>

#include "../runtime/float_environment.h"
#include "direct.h"

namespace sigmax {
namespace {

// ---------------------------------------------------------------- options

enum Reduction { kAll, kSum, kMean };

struct Options {
  int axis = -1;
  bool of_logits = false;  // the labels
  bool ignores = false;
  std::int64_t ignored = 0;
  double temperature = 1.0, alpha = 1.0, smoothing = 0.0, z_loss = 0.0, pos_weight = 1.0;
  Reduction reduction = kMean;
  PyObject *class_weight = Py_None, *sample_weight = Py_None;
};

// Products of these neither overflow nor lose digits (_reduction.py).
constexpr double kSmallest = 0x1p-250, kLargest = 0x1p250;
bool is_ordinary(double x) { return x >= kSmallest && x <= kLargest; }

bool take_number(PyObject* value, double least, double most, double* number) {
  if (PyFloat_CheckExact(value)) {
    *number = PyFloat_AS_DOUBLE(value);
  } else {
    if (!PyLong_CheckExact(value)) return false;
    *number = PyLong_AsDouble(value);
    if (*number == -1.0 && PyErr_Occurred()) PyErr_Clear();
  }
  return *number >= least && *number <= most;
}
bool take_integer(PyObject* value, long long* number) {
  if (!PyLong_CheckExact(value)) return false;
  int overflow;
  *number = PyLong_AsLongLongAndOverflow(value, &overflow);
  return overflow == 0;
}

// False for a value that is not ordinary.
struct Option {
  const char* name;
  bool (*take)(Options& options, PyObject* value);
};

bool take_axis(Options& options, PyObject* value) {
  long long axis;
  if (!take_integer(value, &axis) || axis < -NPY_MAXDIMS || axis >= NPY_MAXDIMS) return false;
  options.axis = static_cast<int>(axis);
  return true;
}
bool take_ignored(Options& options, PyObject* value) {
  if (value == Py_None) return true;
  long long ignored = 0;
  options.ignores = take_integer(value, &ignored);
  options.ignored = ignored;
  return options.ignores;
}
bool take_flag(PyObject* value, bool* flag) {
  *flag = value == Py_True;
  return *flag || value == Py_False;
}
bool take_reduction(Options& options, PyObject* value) {
  constexpr const char* names[] = {"none", "sum", "mean"};
  if (!PyUnicode_CheckExact(value)) return false;
  for (int k = kAll; k <= kMean; ++k)
    if (PyUnicode_CompareWithASCIIString(value, names[k]) == 0) return options.reduction = static_cast<Reduction>(k), true;
  return false;
}
bool take_array(PyObject* value, PyObject** array) {
  *array = value;
  return value == Py_None || PyArray_CheckExact(value);
}
bool is_none(Options&, PyObject* value) { return value == Py_None; }
bool is_true(Options&, PyObject* value) { return value == Py_True; }

namespace option {
constexpr Option axis = {"axis", take_axis}, ignore_index = {"ignore_index", take_ignored}, reduction = {"reduction", take_reduction},
                 from_logits = {"from_logits", is_true}, no_weight = {"sample_weight", is_none}, no_class_weight = {"class_weight", is_none},
                 sample_weight = {"sample_weight", [](Options& o, PyObject* value) { return take_array(value, &o.sample_weight); }},
                 class_weight = {"class_weight", [](Options& o, PyObject* value) { return take_array(value, &o.class_weight); }},
                 smoothing_prior = {"smoothing_prior", is_none}, where = {"where", is_none}, normalizer = {"normalizer", is_none},
                 labels_from_logits = {"labels_from_logits", [](Options& o, PyObject* value) { return take_flag(value, &o.of_logits); }},
                 temperature = {"temperature", [](Options& o, PyObject* value) { return take_number(value, 0x1p-1022, 0x1p1000, &o.temperature); }},
                 alpha = {"alpha", [](Options& o, PyObject* value) { return take_number(value, 0.0, 1.0, &o.alpha); }},
                 label_smoothing = {"label_smoothing", [](Options& o, PyObject* value) { return take_number(value, 0.0, 1.0, &o.smoothing) && (o.smoothing == 0.0 || is_ordinary(o.smoothing)); }},
                 z_loss = {"z_loss", [](Options& o, PyObject* value) { return take_number(value, 0.0, kLargest, &o.z_loss) && (o.z_loss == 0.0 || is_ordinary(o.z_loss)); }},
                 pos_weight = {"pos_weight", [](Options& o, PyObject* value) { return value == Py_None || take_number(value, kSmallest, kLargest, &o.pos_weight); }};
}  // namespace option

// ---------------------------------------------------------------- parts of a call

enum Outcome { kDone, kGeneral, kNoMemory };

// By how much the numbers of a distribution may miss 1: the square root of the type's epsilon.
double tolerance(Type type) { return type == kFloat64 ? 0x1p-26 : 0x1.6a09e6p-12; }

// Where the gradient goes. False: to another place, or over what is still to be read.
bool take_place(Owned& gradient, PyArrayObject* x, PyObject* out, PyObject* const* inputs, int count) {
  if (out == nullptr || out == Py_None) {
    gradient.reset(reinterpret_cast<PyObject*>(new_result(x)));
    return gradient.get() != nullptr;
  }
  if (!is_behaved(out, PyArray_TYPE(x)) || !may_be_written(array_of(out), inputs, count) || coincide(array_of(out), x)) return false;
  Py_INCREF(out);
  gradient.reset(out);
  return true;
}

// Labels in the type of the logits. False where they are of neither that nor integers.
bool take_labels(Owned& labels, PyObject* given, PyArrayObject* x) {
  if (!PyArray_CheckExact(given)) return false;
  PyArrayObject* array = array_of(given);
  if (PyArray_TYPE(array) == PyArray_TYPE(x)) {
    Py_INCREF(given);
    labels.reset(given);
    return true;
  }
  if (!PyTypeNum_ISINTEGER(PyArray_TYPE(array)) && !PyTypeNum_ISBOOL(PyArray_TYPE(array))) return false;
  labels.reset(PyArray_FROMANY(given, PyArray_TYPE(x), 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST));
  return labels.get() != nullptr;
}

PyObject* scalar(double value, Type type) {
  PyObject* result = type == kFloat64 ? PyArrayScalar_New(Double) : PyArrayScalar_New(Float);
  if (result == nullptr) return nullptr;
  if (type == kFloat64) PyArrayScalar_ASSIGN(result, Double, value);
  else PyArrayScalar_ASSIGN(result, Float, static_cast<float>(value));
  return result;
}

bool are_finite(const double* losses, npy_intp count) {
  bool finite = true;
  for (npy_intp i = 0; i < count; ++i) finite &= std::isfinite(losses[i]);
  return finite;
}

// The sum of losses over their divisor. Where losses are finite and their sum is not, the general way has a wider range.
Outcome reduce(const double* losses, npy_intp count, double over, double* value) {
  double total;
  if (!run_total(kernels->elements->total, losses, count, &total)) return kNoMemory;
  if (!std::isfinite(total) && are_finite(losses, count)) return kGeneral;
  *value = total / over;
  return kDone;
}

void round_to_floats(const double* losses, npy_intp count, void* floats) {
  for (npy_intp i = 0; i < count; ++i) static_cast<float*>(floats)[i] = static_cast<float>(losses[i]);
}

// A value, or the value and the gradient.
PyObject* answer(Owned& value, Owned& gradient) {
  if (value.get() == nullptr) return nullptr;
  PyObject* result = PyArray_Check(value.get()) ? PyArray_Return(array_of(value.release())) : value.release();
  return gradient.get() == nullptr ? result : Py_BuildValue("(NN)", result, gradient.release());
}

// ---------------------------------------------------------------- losses of classes

// The kernels of the level in use, by what they are for.
enum Kernel { kCrossEntropy, kSoftCrossEntropy, kRelativeEntropy, kDivergence, kDistillation, kMass, kRowsKernels };
const RowsFunction& function_of(Kernel kernel, bool with_gradient) {
  struct Table {
    const RowsFunction* at[kRowsKernels][2] = {};
    Table() {
      constexpr const char* names[kRowsKernels][2] = {
          {"cross_entropy", "cross_entropy_gradient"},       {"soft_cross_entropy", "soft_cross_entropy_gradient"},
          {"relative_entropy", "relative_entropy_gradient"}, {"divergence", "divergence_gradient"},
          {"distillation", "distillation_gradient"},         {"mass", "mass"}};
      for (int k = 0; k < rows_function_count(); ++k)
        for (int of = 0; of < kRowsKernels; ++of)
          for (int gradient = 0; gradient < 2; ++gradient)
            if (std::strcmp(rows_function(k).name, names[of][gradient]) == 0) at[of][gradient] = &rows_function(k);
    }
  };
  static const Table table;
  return *table.at[kernel][with_gradient];
}

class RowsLoss {
 public:
  RowsLoss(PyArrayObject* x, int axis, Type type, const Options& options) : x_(x), options_(options), rows_(x, axis, type), counted_(rows_.call.rows) {
    const double total = options.smoothing == 0.0 ? 1.0 : static_cast<double>(rows_.call.classes);
    const std::pair<Name, double> numbers[] = {{kWeight, 1.0},           {kTemperature, options.temperature}, {kClassWeight, 1.0},
                                               {kSmoothing, options.smoothing}, {kPrior, 1.0},                {kPriorTotal, total},
                                               {kZLoss, options.z_loss}};
    for (const auto& [name, number] : numbers) rows_.set(name, number);
    rows_.call[kLabel] = absent(kLabel);
    rows_.call[kMask] = absent(kMask);
  }

  bool take_logits() { return rows_.call.rows > 0 && rows_.call.classes > 0 && rows_.take(kX, reinterpret_cast<PyObject*>(x_)); }
  bool has_row_shape(PyObject* array) const { return PyArray_CheckExact(array) && PyArray_NDIM(array_of(array)) == rows_.x.last; }
  void set(Name name, double number) { rows_.set(name, number); }

  // Class indices: integers in their range, or the one that is ignored.
  bool take_indices(PyObject* given) {
    if (!has_row_shape(given) || !PyTypeNum_ISINTEGER(PyArray_TYPE(array_of(given)))) return false;
    if (options_.ignores && PyTypeNum_ISUNSIGNED(PyArray_TYPE(array_of(given)))) return false;
    const int flags = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST | (options_.ignores ? NPY_ARRAY_ENSURECOPY : 0);
    indices_.reset(PyArray_FROMANY(given, NPY_INT64, 0, 0, flags));
    return indices_.get() != nullptr && rows_.take(kLabel, indices_.get()) && are_legal(static_cast<std::int64_t*>(PyArray_DATA(indices_.array())));
  }
  bool take_second(PyObject* given, bool are_distributions) {
    are_distributions_ = are_distributions;
    return take_labels(second_, given, x_) && rows_.take(kSecond, second_.get());
  }

  // Those of classes and of rows.
  bool take_weights() {
    const bool of_classes = take_weights(class_weights_, kClassWeight, options_.class_weight, rows_.call.classes);
    return of_classes && take_weights(weights_, kWeight, options_.sample_weight, rows_.call.rows);
  }

  // `inputs` must stay apart from `out`.
  PyObject* run(Kernel kernel, bool with_gradient, PyObject* out, PyObject* const* inputs, int count) {
    Owned value, gradient;
    if (with_gradient && !(take_place(gradient, x_, out, inputs, count) && rows_.take(kOut, gradient.get()))) return nullptr;
    const npy_intp rows = rows_.call.rows;
    const bool each = options_.reduction == kAll, in_place = each && rows_.call.type == kFloat64;
    if (each) {
      value.reset(reinterpret_cast<PyObject*>(new_array(x_, rows_.x.last, rows_.x.shape, rows_.x.type)));
      if (value.get() == nullptr) return nullptr;
    }
    const Doubles own(in_place ? 0 : rows), masses(has_masses() ? rows : 0);
    double* losses = in_place ? static_cast<double*>(PyArray_DATA(value.array())) : own.data;
    Outcome outcome = losses == nullptr || masses.data == nullptr ? kNoMemory : kDone;
    double reduced = 0.0;
    if (outcome == kDone)
      without_gil(PyArray_SIZE(x_), [&] {
        const FloatEnvironment environment;
        outcome = evaluate(function_of(kernel, with_gradient), losses, masses.data);
        if (outcome == kDone && kernel == kRelativeEntropy) mend_rounding(losses);
        if (outcome == kDone && !each) outcome = reduce(losses, rows, over_, &reduced);
        if (outcome == kDone && each && !in_place) round_to_floats(losses, rows, PyArray_DATA(value.array()));
      });
    if (outcome == kNoMemory) no_memory();
    if (outcome != kDone) return nullptr;
    if (!each) value.reset(scalar(reduced, rows_.call.type));
    return answer(value, gradient);
  }

 private:
  bool are_legal(std::int64_t* indices) {
    for (npy_intp i = 0; i < rows_.call.rows; ++i) {
      if (options_.ignores && indices[i] == options_.ignored) {
        indices[i] = -1;
        --counted_;
      } else if (static_cast<std::uint64_t>(indices[i]) >= static_cast<std::uint64_t>(rows_.call.classes)) {
        return false;
      }
    }
    return counted_ > 0;
  }

  bool take_weights(Owned& weights, Name name, PyObject* given, npy_intp count) {
    if (given == Py_None) return true;
    const int type = PyArray_TYPE(array_of(given));
    if (!PyTypeNum_ISINTEGER(type) && type != NPY_FLOAT && type != NPY_DOUBLE) return false;
    if (name == kClassWeight && PyArray_NDIM(array_of(given)) != 1) return false;
    weights.reset(PyArray_FROMANY(given, NPY_DOUBLE, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST));
    if (weights.get() == nullptr || !rows_.take(name, weights.get())) return false;
    if (PyArray_SIZE(weights.array()) != count) return false;
    const double* weight = static_cast<const double*>(PyArray_DATA(weights.array()));
    for (npy_intp k = 0; k < count; ++k)
      if (!is_ordinary(name == kWeight ? std::fabs(weight[k]) : weight[k])) return false;
    return true;
  }
  const double* class_weights() const { return of(class_weights_); }
  const double* weights() const { return of(weights_); }
  static const double* of(const Owned& array) { return array.get() == nullptr ? nullptr : static_cast<const double*>(PyArray_DATA(array.array())); }

  // Whether rows count for more or less than 1 in a mean.
  bool has_masses() const { return are_distributions_ || class_weights_.get() != nullptr || weights_.get() != nullptr; }

  // The losses, and what their sum is divided by.
  Outcome evaluate(const RowsFunction& function, double* losses, double* masses) {
    if (are_distributions_) {
      const Outcome outcome = add_up_labels(masses);
      if (outcome != kDone) return outcome;
    }
    if (options_.reduction == kMean) {
      over_ = static_cast<double>(counted_);
      if (has_masses()) {
        weigh(masses);
        if (!run_total(kernels->elements->total, masses, rows_.call.rows, &over_)) return kNoMemory;
        if (!is_ordinary(over_)) return kGeneral;
      }
    }
    rows_.set(kScale, 1.0 / over_);
    rows_.call[kValue] = {reinterpret_cast<char*>(losses), sizeof(double), 0};
    if (!run_rows(function, rows_.call)) return kNoMemory;
    // A loss of float64 logits may be too large by itself.
    return rows_.call.type == kFloat64 && !are_finite(losses, rows_.call.rows) ? kGeneral : kDone;
  }

  // Σ q of each row, which is to be 1; Σ w·q with the weights of classes.
  Outcome add_up_labels(double* masses) {
    double one = 1.0;
    RowsCall call;
    call.rows = rows_.call.rows;
    call.classes = rows_.call.classes;
    call.type = rows_.call.type;
    call[kX] = rows_.call[kSecond];
    call[kPrior] = shared(&one);
    call[kValue] = {reinterpret_cast<char*>(masses), sizeof(double), 0};
    if (!run_rows(function_of(kMass, false), call)) return kNoMemory;
    for (npy_intp i = 0; i < call.rows; ++i)
      if (!(std::fabs(masses[i] - 1.0) <= tolerance(call.type))) return kGeneral;
    if (class_weights() == nullptr) return kDone;
    call[kPrior] = rows_.call[kClassWeight];
    return run_rows(function_of(kMass, false), call) ? kDone : kNoMemory;
  }

  void weigh(double* masses) const {
    const std::int64_t* label = indices_.get() == nullptr ? nullptr : static_cast<const std::int64_t*>(PyArray_DATA(indices_.array()));
    for (npy_intp i = 0; i < rows_.call.rows; ++i) {
      if (label != nullptr && label[i] < 0) {
        masses[i] = 0.0;
        continue;
      }
      const double mass = are_distributions_ ? masses[i] : class_weights() != nullptr ? class_weights()[label[i]] : 1.0;
      masses[i] = weights() != nullptr ? weights()[i] * mass : mass;
    }
  }

  // A divergence that is negative because its labels are rounded is 0.
  void mend_rounding(double* losses) const {
    const double squared = tolerance(rows_.call.type) * tolerance(rows_.call.type);
    for (npy_intp i = 0; i < rows_.call.rows; ++i) {
      const double weight = weights() != nullptr ? weights()[i] : 1.0;
      const bool is_negative = weight < 0.0 ? losses[i] > 0.0 : losses[i] < 0.0;
      if (is_negative && std::fabs(losses[i]) <= std::fabs(weight) * squared) losses[i] = 0.0;
    }
  }

  PyArrayObject* x_;
  const Options& options_;
  DirectCall rows_;
  Owned indices_, second_, class_weights_, weights_;
  bool are_distributions_ = false;
  npy_intp counted_;  // rows
  double over_ = 1.0;
};

// ---------------------------------------------------------------- the losses

// What a loss is called with; x has been looked at.
struct Arguments {
  PyObject* const* arrays;
  int count;
  const Options& options;
  bool with_gradient;
  PyObject* out;  // null where none is given

  PyArrayObject* x() const { return array_of(arrays[0]); }
  Type type() const { return storage_type(x()); }
};

PyObject* run(RowsLoss& loss, Kernel kernel, const Arguments& given) {
  return loss.run(kernel, given.with_gradient, given.out, given.arrays, given.count);
}
// Of divergences of logits at higher temperatures the general way keeps more digits.
constexpr double kHottest = 0x1p30;

PyObject* cross_entropy(RowsLoss& loss, const Arguments& given) {
  if (loss.has_row_shape(given.arrays[1])) return loss.take_indices(given.arrays[1]) ? run(loss, kCrossEntropy, given) : nullptr;
  return !given.options.ignores && loss.take_second(given.arrays[1], true) ? run(loss, kSoftCrossEntropy, given) : nullptr;
}
PyObject* kl_divergence(RowsLoss& loss, const Arguments& given) {
  const bool of_logits = given.options.of_logits;
  if (!loss.take_second(given.arrays[1], !of_logits) || (of_logits && given.options.temperature > kHottest)) return nullptr;
  return run(loss, of_logits ? kDivergence : kRelativeEntropy, given);
}
PyObject* distillation_loss(RowsLoss& loss, const Arguments& given) {
  const Options& o = given.options;
  PyObject* labels = given.count > 2 ? given.arrays[2] : Py_None;
  const double weight = o.alpha * o.temperature * o.temperature;
  if (!is_ordinary(o.alpha) || !is_ordinary(o.temperature) || !is_ordinary(weight) || o.temperature > kHottest) return nullptr;
  if (o.smoothing != 0.0 || o.z_loss != 0.0 || (labels == Py_None && (o.alpha < 1.0 || o.ignores))) return nullptr;
  if (!loss.take_second(given.arrays[1], false) || (labels != Py_None && !loss.take_indices(labels))) return nullptr;
  loss.set(kWeight, weight);
  if (o.alpha == 1.0) return run(loss, kDivergence, given);
  loss.set(kZLoss, 1.0 - o.alpha);
  return run(loss, kDistillation, given);
}

template <PyObject* (*loss)(RowsLoss& rows, const Arguments& given)>
PyObject* of_rows(const Arguments& given) {
  const int dimensions = PyArray_NDIM(given.x()), axis = given.options.axis;
  if (axis < -dimensions || axis >= dimensions) return nullptr;
  RowsLoss rows(given.x(), axis < 0 ? axis + dimensions : axis, given.type(), given.options);
  return rows.take_logits() && rows.take_weights() ? loss(rows, given) : nullptr;
}

PyObject* binary_cross_entropy(const Arguments& given) {
  constexpr int kValue = 0, kGradient = 2;  // of the kernels of logits
  PyArrayObject* x = given.x();
  const Type type = given.type();
  const npy_intp count = PyArray_SIZE(x), size = PyArray_ITEMSIZE(x);
  Owned labels, gradient, value;
  if (count == 0 || PyArray_NDIM(x) == 0 || plain_type(given.arrays[0]) == kTypes) return nullptr;
  if (!take_labels(labels, given.arrays[1], x) || !is_plain(labels.get(), PyArray_TYPE(x), x)) return nullptr;
  if (given.with_gradient) {
    if (!take_place(gradient, x, given.out, given.arrays, given.count) || !is_plain(gradient.get(), PyArray_TYPE(x), x)) return nullptr;
  }
  const BinaryLossFunction& function = kernels->elements->binary_loss[given.with_gradient ? kGradient : kValue];
  const bool each = given.options.reduction == kAll, in_place = each && type == kFloat64;
  if (each) {
    value.reset(reinterpret_cast<PyObject*>(new_array(x, PyArray_NDIM(x), PyArray_DIMS(x), PyArray_TYPE(x))));
    if (value.get() == nullptr) return nullptr;
  }
  const Doubles own(each && !in_place ? count : 0);
  double one = 1.0, positive = given.options.pos_weight, smoothing = given.options.smoothing;
  double over = given.options.reduction == kMean ? static_cast<double>(count) : 1.0, total = 0.0;
  BinaryLossCall call;
  call.x = {PyArray_BYTES(x), size, 0};
  call.labels = {PyArray_BYTES(labels.array()), size, 0};
  call.weight = shared(&one);
  call.pos_weight = shared(&positive);
  call.smoothing = shared(&smoothing);
  call.divisor = shared(&over);
  if (given.with_gradient) call.gradient = {PyArray_BYTES(gradient.array()), size, 0};
  Outcome outcome = own.data == nullptr ? kNoMemory : kDone;
  if (outcome == kDone)
    without_gil(count, [&] {
      const FloatEnvironment environment;
      if (!run_in_unit_interval(kernels->elements->in_unit_interval[type], call.labels.data, size, count)) {
        outcome = kGeneral;
      } else if (each) {
        double* losses = in_place ? static_cast<double*>(PyArray_DATA(value.array())) : own.data;
        call.loss = {reinterpret_cast<char*>(losses), sizeof(double), 0};
        run_binary_loss(function.kernels[type], call, count);
        if (!in_place) round_to_floats(losses, count, PyArray_DATA(value.array()));
      } else if (!run_binary_loss_total(kernels->elements->total, function.kernels[type], call, count, &total)) {
        outcome = kNoMemory;
      } else if (!std::isfinite(total)) {
        outcome = kGeneral;
      } else {
        total /= over;
      }
    });
  if (outcome == kNoMemory) PyErr_NoMemory();
  if (outcome != kDone) return nullptr;
  if (!each) value.reset(scalar(total, type));
  return answer(value, gradient);
}

struct Loss {
  const char* name;
  int arrays;  // at most
  PyObject* (*run)(const Arguments& given);
  Option options[12];
};
constexpr Loss losses[] = {
    {"cross_entropy", 2, of_rows<cross_entropy>,
     {option::axis, option::reduction, option::temperature, option::label_smoothing, option::ignore_index, option::z_loss, option::from_logits,
      option::class_weight, option::sample_weight, option::smoothing_prior, option::where, option::normalizer}},
    {"kl_divergence", 2, of_rows<kl_divergence>,
     {option::axis, option::reduction, option::temperature, option::labels_from_logits, option::from_logits, option::sample_weight, option::where,
      option::normalizer}},
    {"distillation_loss", 3, of_rows<distillation_loss>,
     {option::axis, option::reduction, option::temperature, option::alpha, option::label_smoothing, option::ignore_index, option::z_loss,
      option::no_class_weight, option::no_weight, option::smoothing_prior, option::where, option::normalizer}},
    {"binary_cross_entropy", 2, binary_cross_entropy,
     {option::reduction, option::label_smoothing, option::pos_weight, option::from_logits, option::no_weight, option::where, option::normalizer}},
};

bool take_option(const Loss& loss, PyObject* name, PyObject* value, Options& options) {
  for (const Option& option : loss.options)
    if (option.name != nullptr && PyUnicode_CompareWithASCIIString(name, option.name) == 0) return option.take(options, value);
  return false;
}

// Null, without an exception, for the general way.
PyObject* run(PyObject* name, PyObject* positional, PyObject* named, bool with_gradient, PyObject* out) {
  const Loss* loss = nullptr;
  for (const Loss& each : losses)
    if (PyUnicode_CompareWithASCIIString(name, each.name) == 0) loss = &each;
  const Py_ssize_t count = PyTuple_GET_SIZE(positional);
  if (loss == nullptr || count < 2) return nullptr;
  Options options;
  const int arrays = static_cast<int>(count < loss->arrays ? count : loss->arrays);
  if (count > arrays && (count > arrays + 1 || loss->options[0].take != take_axis || !take_axis(options, PyTuple_GET_ITEM(positional, arrays)))) return nullptr;
  Py_ssize_t at = 0;
  for (PyObject *key, *value; PyDict_Next(named, &at, &key, &value);)
    if (!take_option(*loss, key, value, options)) return nullptr;
  PyObject* const* given = &PyTuple_GET_ITEM(positional, 0);
  if (!is_behaved(given[0], NPY_FLOAT) && !is_behaved(given[0], NPY_DOUBLE)) return nullptr;
  return loss->run({given, arrays, options, with_gradient, out});
}

PyObject* or_none(PyObject* result) {
  if (result == nullptr && !PyErr_Occurred()) Py_RETURN_NONE;
  return result;
}
bool are_arguments(PyObject* const* args) { return PyUnicode_Check(args[0]) && PyTuple_Check(args[1]) && PyDict_Check(args[2]); }

}  // namespace

// loss(name, arguments, options): the value of a loss, or None.
PyObject* py_loss(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !are_arguments(args)) return PyErr_Format(PyExc_TypeError, "loss takes a name, a tuple and a dict");
  return or_none(run(args[0], args[1], args[2], false, nullptr));
}

// loss_and_gradient(name, arguments, options, out): both, or None.
PyObject* py_loss_and_gradient(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 4 || !are_arguments(args)) return PyErr_Format(PyExc_TypeError, "loss_and_gradient takes a name, a tuple, a dict and an array");
  return or_none(run(args[0], args[1], args[2], true, args[3]));
}

}  // namespace sigmax
