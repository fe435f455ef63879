// Steps of an evaluation, for chunks of rows: see kernels/evaluation.cpp.
#include "direct.h"

namespace sigmax {
namespace {

// An array as the kernels read it; without one, if it is not of this type and so many dimensions.
class Plain {
 public:
  Plain(PyObject* object, int type, int dimensions) {
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
    ByClass of = {};
    of.bins = bins;
    of.edges = edges.data;
    without_gil(size, [&] {
      for (npy_intp i = 0; i < size; ++i) bin[i] = of.bin_of(p[i]);
    });
  }
  Py_DECREF(array);
  return result;
}

// add_by_class(table, groups, p, terms, weights, labels): to table (groups, bins, classes) weight·terms in the bins of p, and
// -weight for the labels; without labels (None) the terms have them.
PyObject* py_add_by_class(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 6 || !is_behaved(args[0], NPY_DOUBLE) || PyArray_NDIM(array_of(args[0])) != 3 || !PyArray_ISCARRAY(array_of(args[0])))
    return unfit("add_by_class");
  PyArrayObject* table = array_of(args[0]);
  const int type = float_type(args[2]);
  const Plain p(args[2], type, 2), terms(args[3], type, 2), groups(args[1], NPY_INT64, 1), weights(args[4], NPY_DOUBLE, 1), labels(args[5], NPY_INT64, 1);
  const npy_intp bins = PyArray_DIM(table, 1), classes = PyArray_DIM(table, 2);
  const bool fits = p && terms && weights && bins > 0 && p.size(1) == classes && PyArray_CompareLists(p.shape(), terms.shape(), 2) &&
                    weights.size(0) == p.size(0) && are_classes(groups, p.size(0), PyArray_DIM(table, 0)) &&
                    (args[5] == Py_None || are_classes(labels, p.size(0), classes));
  if (!fits) return unfit("add_by_class");
  const Edges edges(bins);
  if (edges.data == nullptr) return PyErr_NoMemory();
  const ByClass call = {static_cast<double*>(PyArray_DATA(table)), p.size(0), classes, bins, edges.data, groups.data<std::int64_t>(),
                        p.data<void>(), terms.data<void>(), weights.data<double>(), labels ? labels.data<std::int64_t>() : nullptr};
  without_gil(p.size(0) * classes, [&] { kernels->evaluation->add_by_class[number_of(p)](call); });
  Py_RETURN_NONE;
}

}  // namespace sigmax
