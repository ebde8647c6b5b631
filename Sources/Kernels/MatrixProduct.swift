internal import CKernels

/// Where a row-major matrix lies inside a span of floats.
public struct MatrixLayout: Sendable, Equatable {
  /// The element at row 0, column 0, from the start of the span.
  public let offset: Int
  /// The number of rows.
  public let rowCount: Int
  /// The number of columns.
  public let columnCount: Int
  /// The elements from one row to the next; at least `columnCount`.
  public let stride: Int

  /// Describes a matrix; by default its rows follow each other from the start.
  public init(rows rowCount: Int, columns columnCount: Int, offset: Int = 0, stride: Int? = nil) {
    precondition(rowCount >= 0 && columnCount >= 0 && offset >= 0 && (stride ?? columnCount) >= columnCount)
    self.offset = offset
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.stride = stride ?? columnCount
  }

  /// The part of the matrix in some rows and columns.
  public subscript(rows: Range<Int>, columns: Range<Int>) -> MatrixLayout {
    precondition(rows.upperBound <= rowCount && columns.upperBound <= columnCount)
    return MatrixLayout(
      rows: rows.count, columns: columns.count,
      offset: offset + rows.lowerBound * stride + columns.lowerBound, stride: stride)
  }

  /// The elements a span must have to hold the matrix.
  var extent: Int {
    rowCount == 0 || columnCount == 0 ? 0 : offset + (rowCount - 1) * stride + columnCount
  }
}

/// Which operand of a product is taken transposed.
public enum MatrixProduct: Sendable {
  /// `a [m, k] · b [k, n]`.
  case plain
  /// `a [m, k] · b [n, k]ᵀ`.
  case transposedRight
  /// `a [k, m]ᵀ · b [k, n]`.
  case transposedLeft
}

/// What the operands of a product are rounded to before they are multiplied.
public enum ProductOperands: String, Sendable, CaseIterable {
  /// They are taken as they are.
  case f32
  /// Rounded to bf16, to nearest even, where the processor multiplies them faster; as they are elsewhere.
  ///
  /// Sums are in f32; of random operands the product's relative error is 0.002.
  case bf16

  private static let hasFastBF16 = ck_has_bf16_products() != 0

  /// What operands are really rounded to here: bf16 needs AVX512-BF16.
  package var onThisProcessor: ProductOperands { self == .bf16 && Self.hasFastBF16 ? .bf16 : .f32 }
}

/// Computes `c = scale · (a · b) + keep · c` on the calling thread.
///
/// Sums are added in an order that depends on the shape and the instruction set only.
///
/// - Parameters:
///   - kind: How the operands are taken.
///   - a: The span that holds the left operand.
///   - aLayout: Where in `a`.
///   - b: The span that holds the right operand.
///   - bLayout: Where in `b`.
///   - scale: The factor of the product.
///   - keep: The factor of what `c` holds; 0 overwrites it.
///   - c: The span that holds the result.
///   - cLayout: Where in `c`, `[m, n]`.
///   - operands: What the operands are rounded to.
///   - set: The instructions to use; only the best ones round operands.
package func multiply(
  _ kind: MatrixProduct, _ a: Span<Float>, _ aLayout: MatrixLayout, _ b: Span<Float>, _ bLayout: MatrixLayout,
  scale: Float = 1, keep: Float = 0, into c: inout MutableSpan<Float>, _ cLayout: MatrixLayout,
  operands: ProductOperands = .f32, on set: InstructionSet = .best
) {
  let shape = ProductShape(kind, aLayout, a.count, bLayout, b.count, cLayout, c.count)
  guard shape.m > 0, shape.n > 0 else { return }
  guard shape.inner > 0 else { return scaleRows(of: &c, cLayout, by: keep) }
  let rounds = operands.onThisProcessor == .bf16 && set == .best
  let scratchCount =
    rounds ? ck_gemm_bf16_scratch(shape.m, shape.n, shape.inner) : ck_gemm_scratch(shape.m)
  ScratchPool.shared.withScratch(scratchCount) { scratch in
    // The layouts were checked against the spans, so every address the kernel forms is inside them.
    unsafe reading(a, b) { a, b in
      unsafe writing(&c, &scratch) { c, scratch in
        let left = unsafe a.map { unsafe $0 + aLayout.offset }
        let right = unsafe b.map { unsafe $0 + bLayout.offset }
        let target = unsafe c.map { unsafe $0 + cLayout.offset }
        if rounds {
          unsafe ck_gemm_bf16(
            shape.m, shape.n, shape.inner, Int32(CK_F32), left, shape.aRow, shape.aStep, right, shape.bStep,
            shape.bColumn, scale, keep, target, cLayout.stride, scratch)
        } else {
          unsafe ck_gemm(
            set.rawValue, shape.m, shape.n, shape.inner, left, shape.aRow, shape.aStep, right, shape.bStep,
            shape.bColumn, scale, keep, target, cLayout.stride, scratch)
        }
      }
    }
  }
}

/// `multiply` with operands rounded to bf16 that are stored as bf16: the same bits.
///
/// - Parameters:
///   - kind: How the operands are taken.
///   - a: Bytes that hold the left operand as bf16, at any address.
///   - aLayout: Where in `a`, in elements.
///   - b: Bytes that hold the right operand as bf16, at any address.
///   - bLayout: Where in `b`, in elements.
///   - keep: The factor of what `c` holds; 0 overwrites it.
///   - c: The span that holds the result.
///   - cLayout: Where in `c`, `[m, n]`.
/// - Precondition: `ProductOperands.bf16.onThisProcessor` is `bf16`.
package func multiply(
  _ kind: MatrixProduct, halves a: RawSpan, _ aLayout: MatrixLayout, _ b: RawSpan, _ bLayout: MatrixLayout,
  keep: Float = 0, into c: inout MutableSpan<Float>, _ cLayout: MatrixLayout
) {
  precondition(ProductOperands.bf16.onThisProcessor == .bf16, "this processor has no products of bf16")
  let shape = ProductShape(kind, aLayout, a.byteCount / 2, bLayout, b.byteCount / 2, cLayout, c.count)
  guard shape.m > 0, shape.n > 0 else { return }
  guard shape.inner > 0 else { return scaleRows(of: &c, cLayout, by: keep) }
  ScratchPool.shared.withScratch(ck_gemm_bf16_scratch(shape.m, shape.n, shape.inner)) { scratch in
    // The layouts were checked against the bytes, so every address the kernel forms is inside them.
    unsafe reading(a) { a in
      unsafe reading(b) { b in
        unsafe writing(&c, &scratch) { c, scratch in
          unsafe ck_gemm_bf16(
            shape.m, shape.n, shape.inner, Int32(CK_BF16), a.map { unsafe $0 + 2 * aLayout.offset },
            shape.aRow, shape.aStep, b.map { unsafe $0 + 2 * bLayout.offset }, shape.bStep, shape.bColumn, 1,
            keep, c.map { unsafe $0 + cLayout.offset }, cLayout.stride, scratch)
        }
      }
    }
  }
}

/// `multiply` with doubles.
package func multiply(
  _ kind: MatrixProduct, _ a: Span<Double>, _ aLayout: MatrixLayout, _ b: Span<Double>,
  _ bLayout: MatrixLayout, scale: Double = 1, keep: Double = 0, into c: inout MutableSpan<Double>,
  _ cLayout: MatrixLayout, on set: InstructionSet = .best
) {
  let shape = ProductShape(kind, aLayout, a.count, bLayout, b.count, cLayout, c.count)
  guard shape.m > 0, shape.n > 0 else { return }
  guard shape.inner > 0 else { return scaleRows(of: &c, cLayout, by: keep) }
  var memory = [Double](repeating: 0, count: ck_gemm_scratch(shape.m))
  var scratch = memory.mutableSpan
  // The layouts were checked against the spans, so every address the kernel forms is inside them.
  unsafe reading(a, b) { a, b in
    unsafe writing(&c, &scratch) { c, scratch in
      unsafe ck_gemm_f64(
        set.rawValue, shape.m, shape.n, shape.inner, a.map { unsafe $0 + aLayout.offset }, shape.aRow,
        shape.aStep, b.map { unsafe $0 + bLayout.offset }, shape.bStep, shape.bColumn, scale, keep,
        c.map { unsafe $0 + cLayout.offset }, cLayout.stride, scratch)
    }
  }
}

/// The sizes and steps of a product, checked against its operands and their spans.
private struct ProductShape {
  let m: Int
  let n: Int
  let inner: Int
  let aRow: Int
  let aStep: Int
  let bStep: Int
  let bColumn: Int

  init(
    _ kind: MatrixProduct, _ a: MatrixLayout, _ aCount: Int, _ b: MatrixLayout, _ bCount: Int,
    _ c: MatrixLayout,
    _ cCount: Int
  ) {
    (m, inner) = kind == .transposedLeft ? (a.columnCount, a.rowCount) : (a.rowCount, a.columnCount)
    let (n, otherInner) =
      kind == .transposedRight ? (b.rowCount, b.columnCount) : (b.columnCount, b.rowCount)
    self.n = n
    (aRow, aStep) = kind == .transposedLeft ? (1, a.stride) : (a.stride, 1)
    (bStep, bColumn) = kind == .transposedRight ? (1, b.stride) : (b.stride, 1)
    precondition(inner == otherInner, "inner dimensions differ: \(inner), \(otherInner)")
    precondition(m == c.rowCount && n == c.columnCount, "the result is not [\(m), \(n)]")
    precondition(
      a.extent <= aCount && b.extent <= bCount && c.extent <= cCount, "a matrix lies outside its span")
  }
}

/// Multiplies the elements of a matrix with a factor; 0 clears whatever is there.
private func scaleRows<T: BinaryFloatingPoint>(
  of c: inout MutableSpan<T>, _ layout: MatrixLayout, by factor: T
) {
  for row in 0..<layout.rowCount {
    for column in 0..<layout.columnCount {
      let index = layout.offset + row * layout.stride + column
      c[index] = factor == 0 ? 0 : factor * c[index]
    }
  }
}

/// `multiply` as plain loops in double precision, which define it.
package func multiplyReference(
  _ kind: MatrixProduct, _ a: Span<Float>, _ aLayout: MatrixLayout, _ b: Span<Float>, _ bLayout: MatrixLayout,
  scale: Float = 1, keep: Float = 0, into c: inout MutableSpan<Float>, _ cLayout: MatrixLayout,
  operands: ProductOperands = .f32
) {
  let rounded = { (value: Float) in operands == .bf16 ? Double(roundedToBF16(value)) : Double(value) }
  let inner = kind == .transposedLeft ? aLayout.rowCount : aLayout.columnCount
  for i in 0..<cLayout.rowCount {
    for j in 0..<cLayout.columnCount {
      var sum = 0.0
      for p in 0..<inner {
        let left = kind == .transposedLeft ? p * aLayout.stride + i : i * aLayout.stride + p
        let right = kind == .transposedRight ? j * bLayout.stride + p : p * bLayout.stride + j
        sum += rounded(a[aLayout.offset + left]) * rounded(b[bLayout.offset + right])
      }
      let index = cLayout.offset + i * cLayout.stride + j
      let kept = keep == 0 ? 0 : Double(keep) * Double(c[index])
      c[index] = Float(Double(scale) * sum + kept)
    }
  }
}
