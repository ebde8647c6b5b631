internal import CKernels

/// The type that the operands of a product are rounded to before they are multiplied.
public enum ProductOperands: String, Sendable, CaseIterable {
  /// Operands are not rounded.
  case f32
  /// Operands are rounded to bf16, to nearest even, if the processor multiplies bf16 faster; otherwise not.
  ///
  /// Sums are in f32. With random operands the product's relative error is 0.002.
  case bf16

  /// The type that operands are rounded to on this processor: bf16 only if products of bf16 are faster.
  package var onThisProcessor: ProductOperands { ProductBackend.best(for: self).operands }
}

/// A kernel of the matrix product: one entry of the table in `CKernels/gemm.c`.
///
/// An entry names the instructions it needs, the type it rounds operands to, its scratch memory and its
/// function. A table by vendor and family tells which supported entry is the fastest. Nothing is measured at
/// run time, so the same machine takes the same kernel in every run, and a calibration repeats exactly.
package struct ProductBackend: Sendable, Equatable, CustomStringConvertible {
  /// Its number in the table.
  let index: Int32
  /// Its name.
  package let name: String
  /// The type it rounds operands to.
  package let operands: ProductOperands
  /// The rows of a block of a packed left operand.
  private let leftRows: Int
  /// The columns that a block's columns are rounded up to a multiple of.
  private let leftColumns: Int

  package var description: String { name }

  private init(_ index: Int32) {
    self.index = index
    let entry = unsafe ck_product_backend_at(index)
    name = unsafe String(cString: entry.name)
    operands = unsafe entry.operands == Int32(CK_BF16) ? .bf16 : .f32
    leftRows = unsafe entry.left_rows
    leftColumns = unsafe entry.left_steps
  }

  /// Every entry of the table.
  package static let all = (0..<ck_product_backend_count()).map { ProductBackend($0) }

  /// The entries that this processor supports.
  package static var supported: [ProductBackend] { all.filter { $0.preference(on: .current) > 0 } }

  /// The preference for the entry on a processor: 0 if it does not run there, otherwise higher for faster
  /// entries.
  package func preference(on processor: Processor) -> Int {
    Int(ck_product_preference(index, processor.forC))
  }

  /// The fastest entry that rounds operands no further than allowed.
  ///
  /// - Parameters:
  ///   - operands: The type that operands may be rounded to.
  ///   - processor: The processor to choose for.
  /// - Returns: An entry of the table.
  package static func best(for operands: ProductOperands, on processor: Processor) -> ProductBackend {
    let allowed = all.filter { $0.operands == .f32 || operands == .bf16 }
    let best = allowed.max { $0.preference(on: processor) < $1.preference(on: processor) }
    guard let best else { preconditionFailure("the table of products has no entry for every processor") }
    return best
  }

  private static let bestF32 = best(for: .f32, on: .current)
  private static let bestBF16 = best(for: .bf16, on: .current)

  /// The fastest such entry on this processor.
  package static func best(for operands: ProductOperands) -> ProductBackend {
    operands == .bf16 ? bestBF16 : bestF32
  }

  /// Where a part of a packed left operand may begin: at multiples of these numbers of rows and columns.
  var leftUnit: (rows: Int, columns: Int) { (leftRows, leftColumns) }

  /// The number of floats that a block of a packed left operand takes for some columns.
  func leftFloatCount(columns: Int) -> Int {
    let rounded = (columns + leftColumns - 1) / leftColumns * leftColumns
    return rounded * leftRows / (operands == .bf16 ? 2 : 1)
  }

  /// Packs whole blocks of a left operand; the last one may lack rows.
  ///
  /// - Parameters:
  ///   - matrix: `[rows, columns]`, neither of them 0.
  ///   - blocks: A row for each block, as long as `leftFloatCount` says.
  func pack(_ matrix: MatrixView<Float>, into blocks: inout MutableMatrixView<Float>) {
    let (m, k) = (matrix.rowCount, matrix.columnCount)
    var target = blocks.contiguousElements()
    precondition(
      m > 0 && k > 0 && target.count == (m + leftRows - 1) / leftRows * leftFloatCount(columns: k),
      "\(target.count) floats for [\(m), \(k)]")
    let layout = matrix.layout
    ScratchPool.shared.withScratch(m * ((k + 1) / 2)) { scratch in
      unsafe reading(matrix.elements) { elements in
        unsafe writing(&target, &scratch) { target, scratch in
          unsafe ck_pack_left(
            index, m, k, elements.map { unsafe $0 + layout.offset }, layout.rowStride, layout.columnStride,
            target, scratch)
        }
      }
    }
  }

  /// The number of scratch elements for a product `[m, k] · [k, n]`.
  func scratchCount(_ m: Int, _ n: Int, _ k: Int) -> Int { ck_product_scratch(index, m, n, k) }
}
