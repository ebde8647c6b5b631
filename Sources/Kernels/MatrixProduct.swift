internal import CKernels

/// Computes `c = scale · a · b`, or adds it to what `c` holds, on the calling thread.
///
/// The order of the sums depends only on the shape and the kernel.
///
/// - Parameters:
///   - a: `[m, k]`.
///   - b: `[k, n]`.
///   - scale: The factor of the product.
///   - c: `[m, n]`.
///   - adding: Whether the product is added to `c`; otherwise the old contents are ignored.
///   - operands: The type that operands may be rounded to.
///   - backend: The kernel; nil takes the fastest one. A kernel that rounds does so whatever `operands` says.
package func multiply(
  _ a: MatrixView<Float>, _ b: MatrixView<Float>, scale: Float = 1, into c: inout MutableMatrixView<Float>,
  adding: Bool = false, operands: ProductOperands = .f32, on backend: ProductBackend? = nil
) {
  let shape = ProductShape(a.layout, b.layout, c.layout)
  guard shape.needsProduct(&c, adding: adding) else { return }
  let backend = backend ?? .best(for: operands)
  ScratchPool.shared.withScratch(backend.scratchCount(shape.m, shape.n, shape.inner)) { scratch in
    // Views are checked against their spans, so every address that the kernel forms lies inside them.
    unsafe reading(a.elements, b.elements) { left, right in
      unsafe writing(&c.elements, &scratch) { target, scratch in
        let product = unsafe shape.forC(
          left.map { unsafe $0 + a.layout.offset },
          right.map { unsafe UnsafeRawPointer($0 + b.layout.offset) }, .f32, scale: scale, adding: adding,
          target.map { unsafe $0 + c.layout.offset })
        unsafe ck_multiply(backend.index, product, scratch)
      }
    }
  }
}

/// `multiply` of a right operand that is stored as bf16; the result has the same bits as with one that the
/// kernel rounds.
///
/// - Parameters:
///   - a: `[m, k]`; the kernel rounds it.
///   - b: `[k, n]`.
///   - c: `[m, n]`.
///   - adding: Whether the product is added to `c`.
///   - backend: The kernel; nil takes the fastest one.
/// - Precondition: The kernel rounds to bf16. The fastest one does if `ProductOperands.bf16.onThisProcessor`
///   is `bf16`.
package func multiply(
  _ a: MatrixView<Float>, _ b: BF16View, into c: inout MutableMatrixView<Float>, adding: Bool = false,
  on backend: ProductBackend? = nil
) {
  let backend = backend ?? .best(for: .bf16)
  precondition(backend.operands == .bf16, "\(backend.name) does not take operands of bf16")
  let shape = ProductShape(a.layout, b.layout, c.layout)
  guard shape.needsProduct(&c, adding: adding) else { return }
  ScratchPool.shared.withScratch(backend.scratchCount(shape.m, shape.n, shape.inner)) { scratch in
    // Views are checked against their spans and bytes, so every address that the kernel forms lies inside them.
    unsafe reading(a.elements) { left in
      unsafe reading(b.bytes) { right in
        unsafe writing(&c.elements, &scratch) { target, scratch in
          let product = unsafe shape.forC(
            left.map { unsafe $0 + a.layout.offset }, right.map { unsafe $0 + 2 * b.layout.offset }, .bf16,
            adding: adding, target.map { unsafe $0 + c.layout.offset })
          unsafe ck_multiply(backend.index, product, scratch)
        }
      }
    }
  }
}

/// `multiply` with doubles.
package func multiply(
  _ a: MatrixView<Double>, _ b: MatrixView<Double>, scale: Double = 1,
  into c: inout MutableMatrixView<Double>, adding: Bool = false, on set: InstructionSet = .best
) {
  let shape = ProductShape(a.layout, b.layout, c.layout)
  guard shape.needsProduct(&c, adding: adding) else { return }
  ScratchPool.shared.withDoubles(ck_gemm_f64_scratch(shape.m)) { scratch in
    // Views are checked against their spans, so every address that the kernel forms lies inside them.
    unsafe reading(a.elements, b.elements) { left, right in
      unsafe writing(&c.elements, &scratch) { target, scratch in
        unsafe ck_gemm_f64(
          set.rawValue, shape.m, shape.n, shape.inner, left.map { unsafe $0 + a.layout.offset },
          a.layout.rowStride, a.layout.columnStride, right.map { unsafe $0 + b.layout.offset },
          b.layout.rowStride, b.layout.columnStride, scale, adding ? 1 : 0,
          target.map { unsafe $0 + c.layout.offset }, c.layout.rowStride, scratch)
      }
    }
  }
}

/// The sizes of a product, checked against each other.
struct ProductShape {
  let a: MatrixLayout
  let b: MatrixLayout
  let c: MatrixLayout
  var m: Int { c.rowCount }
  var n: Int { c.columnCount }
  var inner: Int { a.columnCount }

  init(_ a: MatrixLayout, _ b: MatrixLayout, _ c: MatrixLayout) {
    precondition(
      a.columnCount == b.rowCount, "inner dimensions differ: \(a.columnCount), \(b.rowCount)")
    precondition(
      a.rowCount == c.rowCount && b.columnCount == c.columnCount,
      "the result is [\(c.rowCount), \(c.columnCount)], not [\(a.rowCount), \(b.columnCount)]")
    self.a = a
    self.b = b
    self.c = c
  }

  /// Whether there is anything to multiply; an inner dimension of 0 gives zeros.
  func needsProduct<T: BinaryFloatingPoint & Sendable>(
    _ c: inout MutableMatrixView<T>, adding: Bool
  ) -> Bool {
    if inner == 0, !adding {
      for i in 0..<m {
        var row = c.row(i)
        for j in row.indices { row[j] = 0 }
      }
    }
    return m > 0 && n > 0 && inner > 0
  }

  /// The product for C, with a right operand that is stored in some format.
  @unsafe
  func forC(
    _ left: UnsafePointer<Float>?, _ right: UnsafeRawPointer?, _ format: ProductOperands, scale: Float = 1,
    adding: Bool, _ target: UnsafeMutablePointer<Float>?
  ) -> ck_product {
    unsafe ck_product(
      m: m, n: n, k: inner, b_format: Int32(format == .bf16 ? CK_BF16 : CK_F32), is_packed: 0, a: left,
      b: right, a_row_stride: a.rowStride, a_k_stride: a.columnStride, b_k_stride: b.rowStride,
      b_column_stride: b.columnStride, scale: scale, keep: adding ? 1 : 0, c: target, c_stride: c.rowStride)
  }
}

/// `multiply` as plain loops in double precision, which define it.
package func multiplyReference(
  _ a: MatrixView<Float>, _ b: MatrixView<Float>, scale: Float = 1, into c: inout MutableMatrixView<Float>,
  adding: Bool = false, operands: ProductOperands = .f32
) {
  let rounded = { (value: Float) in operands == .bf16 ? Double(roundedToBF16(value)) : Double(value) }
  for i in 0..<c.rowCount {
    for j in 0..<c.columnCount {
      var sum = 0.0
      for p in 0..<a.columnCount { sum += rounded(a[i, p]) * rounded(b[p, j]) }
      var row = c.row(i)
      row[j] = Float(Double(scale) * sum + (adding ? Double(row[j]) : 0))
    }
  }
}

extension MatrixView {
  /// An element, for the plain loops.
  fileprivate subscript(row: Int, column: Int) -> Element {
    elements[layout.offset + row * layout.rowStride + column * layout.columnStride]
  }
}
