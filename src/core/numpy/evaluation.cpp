// Steps of an evaluation, for chunks of rows: see kernels/evaluation.cpp.
#include "direct.h"

namespace sigmax {
namespace {

// An array as the kernels read it; without one, if it is not of this type and so many dimensions.
class Plain {
 public:
  Plain() = default;
  Plain(PyObject* object, int type, int dimensions) { take(object, type, dimensions); }
  void take(PyObject* object, int type, int dimensions) {
    if (!PyArray_Check(object) || PyArray_TYPE(array_of(object)) != type || PyArray_NDIM(array_of(object)) != dimensions) return;
    array_.reset(PyArray_FROMANY(object, type, dimensions, dimensions, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED));
  }
  explicit operator bool() const { return array_.get() != nullptr; }
  npy_intp size(int axis) const { return PyArray_DIM(array_.array(), axis); }
  int type() const { return PyArray_TYPE(array_.array()); }
  template <class Number>
  Number* data() const {
    return static_cast<Number*>(PyArray_DATA(array_.array()));
  }
  npy_intp* shape() const { return PyArray_DIMS(array_.array()); }

 private:
  Owned array_;
};
int float_type(PyObject* object) { return PyArray_Check(object) && PyArray_TYPE(array_of(object)) == NPY_DOUBLE ? NPY_DOUBLE : NPY_FLOAT; }

bool are_classes(const Plain& labels, npy_intp rows, npy_intp classes) {
  if (!labels || labels.size(0) != rows) return false;
  const std::int64_t* label = labels.data<std::int64_t>();
  for (npy_intp i = 0; i < rows; ++i)
    if (label[i] < 0 || label[i] >= classes) return false;
  return true;
}
PyObject* unfit(const char* name) { return PyErr_Format(PyExc_TypeError, "%s takes contiguous rows, and arrays that fit them", name); }

// The edges of bins (k / bins, (k + 1) / bins].
struct Edges : Doubles {
  explicit Edges(npy_intp bins) : Doubles(bins + 1) {
    for (npy_intp k = 0; data != nullptr && k <= bins; ++k) data[k] = static_cast<double>(k) / static_cast<double>(bins);
  }
};
// The kernels' number of a type.
int number_of(const Plain& rows) { return rows.type() == NPY_DOUBLE; }

}  // namespace

// winners(x): the class of the largest number of each row, the first of equal ones.
PyObject* py_winners(PyObject*, PyObject* object) {
  const Plain x(object, float_type(object), 2);
  if (!x || x.size(1) == 0) return unfit("winners");
  PyObject* result = PyArray_EMPTY(1, x.shape(), NPY_INT64, 0);
  if (result == nullptr) return nullptr;
  std::int64_t* winners = static_cast<std::int64_t*>(PyArray_DATA(array_of(result)));
  without_gil(x.size(0) * x.size(1), [&] { kernels->evaluation->winners[number_of(x)](x.data<void>(), x.size(0), x.size(1), winners); });
  return result;
}

// spans(x): the largest number of each row, and the smallest and the mean of those above -inf.
PyObject* py_spans(PyObject*, PyObject* object) {
  const Plain x(object, float_type(object), 2);
  if (!x || x.size(1) == 0) return unfit("spans");
  Owned results[3];
  for (Owned& result : results) {
    result.reset(PyArray_EMPTY(1, x.shape(), NPY_DOUBLE, 0));
    if (result.get() == nullptr) return nullptr;
  }
  double* data[3];
  for (int k = 0; k < 3; ++k) data[k] = static_cast<double*>(PyArray_DATA(results[k].array()));
  without_gil(x.size(0) * x.size(1),
              [&] { kernels->evaluation->spans[number_of(x)](x.data<void>(), x.size(0), x.size(1), {data[0], data[1], data[2]}); });
  return PyTuple_Pack(3, results[0].get(), results[1].get(), results[2].get());
}

// squared_distances(p, labels): Σ (p - label)² of each row, of class indices.
PyObject* py_squared_distances(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) return unfit("squared_distances");
  const Plain p(args[0], float_type(args[0]), 2), labels(args[1], NPY_INT64, 1);
  if (!p || !are_classes(labels, p.size(0), p.size(1))) return unfit("squared_distances");
  PyObject* result = PyArray_EMPTY(1, p.shape(), NPY_DOUBLE, 0);
  if (result == nullptr) return nullptr;
  double* squares = static_cast<double*>(PyArray_DATA(array_of(result)));
  without_gil(p.size(0) * p.size(1), [&] {
    kernels->evaluation->squares[number_of(p)](p.data<void>(), p.size(0), p.size(1), labels.data<std::int64_t>(), squares);
  });
  return result;
}

// bin_of(p, bins): the bins of float64 numbers in [0, 1].
PyObject* py_bin_of(PyObject*, PyObject* const* args, Py_ssize_t count) {
  const npy_intp bins = count == 2 ? PyLong_AsSsize_t(args[1]) : 0;
  if (bins == -1 && PyErr_Occurred()) return nullptr;
  if (bins < 1) return unfit("bin_of");
  const Edges edges(bins);
  if (edges.data == nullptr) return PyErr_NoMemory();
  PyObject* array = PyArray_FROMANY(args[0], NPY_DOUBLE, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
  if (array == nullptr) return nullptr;
  PyObject* result = PyArray_EMPTY(PyArray_NDIM(array_of(array)), PyArray_DIMS(array_of(array)), NPY_INT64, 0);
  if (result != nullptr) {
    const double* p = static_cast<const double*>(PyArray_DATA(array_of(array)));
    std::int64_t* bin = static_cast<std::int64_t*>(PyArray_DATA(array_of(result)));
    const npy_intp size = PyArray_SIZE(array_of(array));
    Evaluation of = {};
    of.bins = bins;
    of.edges = edges.data;
    without_gil(size, [&] {
      for (npy_intp i = 0; i < size; ++i) bin[i] = of.bin_of(p[i]);
    });
  }
  Py_DECREF(array);
  return result;
}

// spread_over(units, groups): a group for each unit by a hash (splitmix64).
PyObject* py_spread_over(PyObject*, PyObject* const* args, Py_ssize_t count) {
  const npy_intp groups = count == 2 ? PyLong_AsSsize_t(args[1]) : 0;
  if (groups == -1 && PyErr_Occurred()) return nullptr;
  const Plain units(count == 2 ? args[0] : Py_None, NPY_INT64, 1);
  if (!units || groups < 1) return unfit("spread_over");
  PyObject* result = PyArray_EMPTY(1, units.shape(), NPY_INT64, 0);
  if (result == nullptr) return nullptr;
  const std::uint64_t* unit = units.data<std::uint64_t>();
  std::int64_t* group = static_cast<std::int64_t*>(PyArray_DATA(array_of(result)));
  without_gil(units.size(0), [&] {
    for (npy_intp i = 0; i < units.size(0); ++i) {
      std::uint64_t x = unit[i] + 0x9E3779B97F4A7C15u;
      x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
      x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
      group[i] = static_cast<std::int64_t>((x ^ (x >> 31)) % static_cast<std::uint64_t>(groups));
    }
  });
  return result;
}

// sums_by(keys, size, values, ...): the sums of each of the values by key, (size, values).
PyObject* py_sums_by(PyObject*, PyObject* const* args, Py_ssize_t count) {
  constexpr Py_ssize_t kMost = 16;
  const Py_ssize_t columns = count - 2;
  const npy_intp size = columns > 0 && columns <= kMost ? PyLong_AsSsize_t(args[1]) : 0;
  if (size == -1 && PyErr_Occurred()) return nullptr;
  if (size < 1) return unfit("sums_by");
  const Plain keys(args[0], NPY_INT64, 1);
  if (!keys || !are_classes(keys, keys.size(0), size)) return unfit("sums_by");
  Plain values[kMost];
  const double* data[kMost];
  for (Py_ssize_t k = 0; k < columns; ++k) {
    values[k].take(args[2 + k], NPY_DOUBLE, 1);
    if (!values[k] || values[k].size(0) != keys.size(0)) return unfit("sums_by");
    data[k] = values[k].data<double>();
  }
  const npy_intp shape[2] = {size, columns};
  PyObject* result = PyArray_ZEROS(2, const_cast<npy_intp*>(shape), NPY_DOUBLE, 0);
  if (result == nullptr) return nullptr;
  double* sums = static_cast<double*>(PyArray_DATA(array_of(result)));
  const std::int64_t* key = keys.data<std::int64_t>();
  without_gil(keys.size(0), [&] {
    for (npy_intp i = 0; i < keys.size(0); ++i)
      for (Py_ssize_t k = 0; k < columns; ++k) sums[key[i] * columns + k] += data[k][i];
  });
  return result;
}

namespace {

// A table (groups, bins, classes) to which rows are added, with the groups and weights of these; or no table (None).
class Target {
 public:
  Target(PyObject* table, PyObject* groups, PyObject* weights)
      : none_(table == Py_None), groups_(groups, NPY_INT64, 1), weights_(weights, NPY_DOUBLE, 1), edges_(is_table(table) ? PyArray_DIM(array_of(table), 1) : 0) {
    if (is_table(table)) table_ = array_of(table);
  }
  bool fits(npy_intp rows, npy_intp classes) const {
    if (none_ || table_ == nullptr) return none_ && classes > 0;
    return PyArray_DIM(table_, 1) > 0 && PyArray_DIM(table_, 2) == classes && classes > 0 && weights_ && weights_.size(0) == rows &&
           are_classes(groups_, rows, PyArray_DIM(table_, 0));
  }
  Evaluation call(const Plain& numbers) const {
    Evaluation call = {};
    call.rows = numbers.size(0);
    call.classes = numbers.size(1);
    call.numbers = numbers.data<void>();
    if (none_) return call;
    call.table = static_cast<double*>(PyArray_DATA(table_));
    call.groups = PyArray_DIM(table_, 0);
    call.bins = PyArray_DIM(table_, 1);
    call.edges = edges_.data;
    call.group = groups_.data<std::int64_t>();
    call.weight = weights_.data<double>();
    return call;
  }
  bool has_memory() const { return edges_.data != nullptr; }

 private:
  static bool is_table(PyObject* object) {
    return is_behaved(object, NPY_DOUBLE) && PyArray_NDIM(array_of(object)) == 3 && PyArray_ISCARRAY(array_of(object));
  }
  const bool none_;
  PyArrayObject* table_ = nullptr;
  const Plain groups_, weights_;
  const Edges edges_;
};

bool run(const EvaluationKernel& kernel, const Evaluation& call) {
  bool enough = false;
  without_gil(call.rows * call.classes, [&] { enough = run_evaluation(kernel, call); });
  if (!enough) PyErr_NoMemory();
  return enough;
}

}  // namespace

// add_by_class(table, groups, p, terms, weights, labels): to table (groups, bins, classes) weight·terms in the bins of p, and
// -weight for the labels; without labels (None) the terms have them.
PyObject* py_add_by_class(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 6) return unfit("add_by_class");
  const int type = float_type(args[2]);
  const Target target(args[0], args[1], args[4]);
  const Plain p(args[2], type, 2), terms(args[3], type, 2), labels(args[5], NPY_INT64, 1);
  const bool fits = args[0] != Py_None && p && terms && PyArray_CompareLists(p.shape(), terms.shape(), 2) && target.fits(p.size(0), p.size(1)) &&
                    (args[5] == Py_None || are_classes(labels, p.size(0), p.size(1)));
  if (!fits) return unfit("add_by_class");
  if (!target.has_memory()) return PyErr_NoMemory();
  Evaluation call = target.call(p);
  call.terms = terms.data<void>();
  call.label = labels ? labels.data<std::int64_t>() : nullptr;
  if (!run(kernels->evaluation->add_by_class[number_of(p)], call)) return nullptr;
  Py_RETURN_NONE;
}

// of_logits(table, groups, x, temperature, weights, labels): confidence, whether the winner is the label, loss and squared
// distance of each row of float32 logits, whose probabilities are added to the table, if there is one, as add_by_class does.
// The confidence of a row without probabilities is NaN.
PyObject* py_of_logits(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 6) return unfit("of_logits");
  const Target target(args[0], args[1], args[4]);
  const Plain x(args[2], NPY_FLOAT, 2), temperature(args[3], NPY_DOUBLE, 1), labels(args[5], NPY_INT64, 1);
  const bool fits = x && x.size(1) <= kLongestWholeRow && target.fits(x.size(0), x.size(1)) && temperature &&
                    (temperature.size(0) == 1 || temperature.size(0) == x.size(0)) && are_classes(labels, x.size(0), x.size(1));
  if (!fits) return unfit("of_logits");
  if (!target.has_memory()) return PyErr_NoMemory();
  Evaluation call = target.call(x);
  call.label = labels.data<std::int64_t>();
  call.temperature = temperature.data<double>();
  call.temperature_step = temperature.size(0) != 1;
  Owned results[4];
  for (int k = 0; k < 4; ++k) {
    results[k].reset(PyArray_EMPTY(1, x.shape(), k == 1 ? NPY_BOOL : NPY_DOUBLE, 0));
    if (results[k].get() == nullptr) return nullptr;
  }
  call.confidence = static_cast<double*>(PyArray_DATA(results[0].array()));
  call.right = static_cast<bool*>(PyArray_DATA(results[1].array()));
  call.loss = static_cast<double*>(PyArray_DATA(results[2].array()));
  call.squares = static_cast<double*>(PyArray_DATA(results[3].array()));
  if (!run(kernels->evaluation->of_logits, call)) return nullptr;
  return PyTuple_Pack(4, results[0].get(), results[1].get(), results[2].get(), results[3].get());
}

namespace {

PyObject* of_resamples(PyObject* const* args, Py_ssize_t count, bool absolute, const char* name) {
  if (count != 2) return unfit(name);
  const Plain counts(args[0], NPY_DOUBLE, 2), table(args[1], NPY_DOUBLE, 2);
  if (!counts || !table || table.size(0) == 0 || counts.size(1) != table.size(0)) return unfit(name);
  const npy_intp groups = table.size(0), cells = table.size(1), resamples = counts.size(0);
  npy_intp shape[2] = {absolute ? resamples : (resamples + kResamples - 1) / kResamples * kResamples, cells};
  PyObject* result = PyArray_EMPTY(absolute ? 1 : 2, shape, NPY_DOUBLE, 0);
  if (result == nullptr) return nullptr;
  double* to = static_cast<double*>(PyArray_DATA(array_of(result)));
  bool enough = false;
  without_gil(groups * cells, [&] {
    enough = run_resamples(*kernels->evaluation, counts.data<double>(), resamples, table.data<double>(), groups, cells, absolute ? nullptr : to,
                           absolute ? to : nullptr);
  });
  if (enough) return result;
  Py_DECREF(result);
  return PyErr_NoMemory();
}

}  // namespace

// absolute_sums(counts, table): Σ |counts @ table| over the cells of a table (groups, cells), for each row of counts.
PyObject* py_absolute_sums(PyObject*, PyObject* const* args, Py_ssize_t count) { return of_resamples(args, count, true, "absolute_sums"); }

// product(counts, table): counts @ table, and some rows besides, whose number is a multiple of kResamples.
PyObject* py_product(PyObject*, PyObject* const* args, Py_ssize_t count) { return of_resamples(args, count, false, "product"); }

}  // namespace sigmax
