// Arrays as a kernel takes them, without NumPy's machinery: which ones, and the call that is made of them.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "../runtime/run.h"
#include "functions.h"
#include "memory.h"

namespace sigmax {
namespace {

PyArrayObject* array_of(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }

template <class Body>
void without_gil(npy_intp size, const Body& body) {
  if (size < kTaskSize) return body();
  PyThreadState* state = PyEval_SaveThread();
  body();
  PyEval_RestoreThread(state);
}

// Memory of large results comes from the pool.
template <class Make>
PyArrayObject* in_pool(PyArrayObject* x, const Make& make) {
  if (static_cast<std::size_t>(PyArray_NBYTES(x)) < kSmallestPooled) return array_of(make());
  PooledAllocation pooled;
  return array_of(make());
}
// As x, in type and layout too: a class axis that is not the last in memory stays there.
PyArrayObject* new_result(PyArrayObject* x) {
  return in_pool(x, [&] { return PyArray_NewLikeArray(x, NPY_KEEPORDER, nullptr, 0); });
}
PyArrayObject* new_array(PyArrayObject* x, int dimensions, const npy_intp* shape, int type) {
  return in_pool(x, [&] { return PyArray_EMPTY(dimensions, shape, type, 0); });
}

// A reference of this call's own.
class Owned {
 public:
  explicit Owned(PyObject* object = nullptr) : object_(object) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object_); }
  void reset(PyObject* object) {
    Py_XDECREF(object_);
    object_ = object;
  }
  PyObject* get() const { return object_; }
  PyArrayObject* array() const { return array_of(object_); }
  PyObject* release() {
    PyObject* object = object_;
    object_ = nullptr;
    return object;
  }

 private:
  PyObject* object_;
};

// Doubles for the time of a call; data is null where there is no memory.
struct Doubles {
  double few[32];
  std::unique_ptr<double[]> many;
  double* data = few;
  explicit Doubles(npy_intp count) {
    if (count <= static_cast<npy_intp>(sizeof(few) / sizeof(*few))) return;
    many.reset(new (std::nothrow) double[static_cast<std::size_t>(count)]);
    data = many.get();
  }
};

// An array with the axis of its classes last.
struct View {
  char* data;
  int type, last;
  npy_intp shape[NPY_MAXDIMS], strides[NPY_MAXDIMS];

  View(PyArrayObject* array, int axis) : data(PyArray_BYTES(array)), type(PyArray_TYPE(array)), last(PyArray_NDIM(array) - 1) {
    for (int from = 0, to = 0; from <= last; ++from) {
      const int at = from == axis ? last : to++;
      shape[at] = PyArray_DIM(array, from);
      strides[at] = PyArray_STRIDE(array, from);
    }
  }
};

// The first `axes` axes as one of rows: one stride leads from each row to the next. False where none does. An axis of one has
// no stride; an array that is the same for all rows has 0.
bool rows_stride(const npy_intp* shape, const npy_intp* strides, int axes, npy_intp* stride) {
  bool found = false;
  npy_intp next = 0;
  *stride = 0;
  for (int axis = axes - 1; axis >= 0; --axis) {
    if (shape[axis] == 1) continue;
    if (!found) *stride = strides[axis];
    else if (strides[axis] != next) return false;
    found = true;
    next = strides[axis] * shape[axis];
  }
  return true;
}

bool is_behaved(PyObject* object, int type) {
  return PyArray_CheckExact(object) && PyArray_TYPE(array_of(object)) == type && PyArray_ISBEHAVED_RO(array_of(object));
}

// A call on rows of x, and what it points to.
struct DirectCall {
  const View x;
  const int axis;
  RowsCall call;
  double numbers[kNames];

  DirectCall(PyArrayObject* array, int axis, Type type) : x(array, axis), axis(axis) {
    call.type = type;
    call.classes = x.shape[x.last];
    call.rows = PyArray_MultiplyList(x.shape, x.last);
  }

  // One number for all rows.
  void set(Name name, double number) {
    numbers[name] = number;
    call[name] = shared(&numbers[name]);
  }
  // False where the object is not what the short way takes. None is an operand that is not there.
  bool take(Name name, PyObject* object) {
    if (object == Py_None) {
      call[name] = absent(name);
      return call[name].data != nullptr;
    }
    const int type = operand_type(name, x.type);
    if (PyFloat_CheckExact(object) && operand_type(name, NPY_FLOAT) == NPY_DOUBLE) {
      set(name, PyFloat_AS_DOUBLE(object));
      return name != kTemperature || is_temperature(numbers[name]);
    }
    if (!is_behaved(object, type)) return false;
    PyArrayObject* array = array_of(object);
    const Extent extent = extent_of(name);
    if (extent == kPerClassOrOne && PyArray_NDIM(array) == 1) return take_classes(name, array);
    return extent == kPerRow ? take_rows(name, array) : take_view(name, array);
  }

 private:
  static bool is_temperature(double t) { return t >= 0x1p-1022 && t <= 0x1p1000; }

  bool take_view(Name name, PyArrayObject* array) {
    if (PyArray_NDIM(array) != x.last + 1) return false;
    const View view(array, axis);
    call[name] = {view.data, 0, view.strides[x.last]};
    return PyArray_CompareLists(view.shape, x.shape, x.last + 1) && rows_stride(view.shape, view.strides, x.last, &call[name].row_stride);
  }
  bool take_rows(Name name, PyArrayObject* array) {
    call[name] = {PyArray_BYTES(array), 0, 0};
    const bool fits = PyArray_NDIM(array) == x.last && PyArray_CompareLists(PyArray_DIMS(array), x.shape, x.last) &&
                      rows_stride(x.shape, PyArray_STRIDES(array), x.last, &call[name].row_stride);
    if (!fits || name != kTemperature) return fits;
    for (npy_intp row = 0; row < call.rows; ++row) {
      double t;
      std::memcpy(&t, call[name].data + row * call[name].row_stride, sizeof(t));
      if (!is_temperature(t)) return false;
    }
    return true;
  }
  // A number per class, or one for all.
  bool take_classes(Name name, PyArrayObject* array) {
    const npy_intp count = PyArray_DIM(array, 0);
    call[name] = {PyArray_BYTES(array), 0, count == 1 ? 0 : PyArray_STRIDE(array, 0)};
    return count == 1 || count == call.classes;
  }
};

// The bytes from the first to the last of an array.
struct Span {
  const char *begin, *end;
  explicit Span(PyArrayObject* array) : begin(PyArray_BYTES(array)), end(begin + PyArray_ITEMSIZE(array)) {
    for (int axis = 0; axis < PyArray_NDIM(array); ++axis) {
      const npy_intp reach = (PyArray_DIM(array, axis) - 1) * PyArray_STRIDE(array, axis);
      reach < 0 ? begin += reach : end += reach;
    }
  }
};
bool are_apart(PyArrayObject* a, PyArrayObject* b) {
  const Span x(a), y(b);
  return x.end <= y.begin || y.end <= x.begin;
}
// The same numbers in the same places.
bool coincide(PyArrayObject* a, PyArrayObject* b) {
  return PyArray_BYTES(a) == PyArray_BYTES(b) && PyArray_TYPE(a) == PyArray_TYPE(b) && PyArray_NDIM(a) == PyArray_NDIM(b) &&
         PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), PyArray_NDIM(a)) &&
         PyArray_CompareLists(PyArray_STRIDES(a), PyArray_STRIDES(b), PyArray_NDIM(a));
}
// No two elements share a byte: each axis steps over all that axes with smaller steps reach.
bool is_apart_from_itself(PyArrayObject* out) {
  const int axes = PyArray_SIZE(out) > 0 ? PyArray_NDIM(out) : 0;
  const auto step = [&](int axis) { return std::abs(PyArray_STRIDE(out, axis)); };
  for (int axis = 0; axis < axes; ++axis) {
    if (PyArray_DIM(out, axis) == 1) continue;
    npy_intp reach = PyArray_ITEMSIZE(out);
    for (int other = 0; other < axes; ++other)
      if (step(other) < step(axis) || (step(other) == step(axis) && other > axis)) reach += (PyArray_DIM(out, other) - 1) * step(other);
    if (step(axis) < reach) return false;
  }
  return true;
}
bool may_be_written(PyArrayObject* out, PyObject* const* inputs, int count) {
  if (!PyArray_ISWRITEABLE(out) || !is_apart_from_itself(out)) return false;
  for (int k = 0; k < count; ++k)
    if (PyArray_Check(inputs[k]) && !are_apart(array_of(inputs[k]), out) && !(k == 0 && coincide(array_of(inputs[k]), out))) return false;
  return true;
}

// A plain array of the type given and the shape of x.
bool is_plain(PyObject* object, int type, PyArrayObject* x) {
  return is_behaved(object, type) && PyArray_IS_C_CONTIGUOUS(array_of(object)) && PyArray_NDIM(array_of(object)) == PyArray_NDIM(x) &&
         PyArray_CompareLists(PyArray_DIMS(array_of(object)), PyArray_DIMS(x), PyArray_NDIM(x));
}

}  // namespace
}  // namespace sigmax
