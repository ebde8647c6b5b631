internal import Kernels
import Synchronization

/// A tensor that is made from others of the same checkpoint when it is read.
package enum DerivedTensor: Sendable {
  /// A part of a tensor.
  case slice(TensorSlice, of: TensorInfo)
  /// Tensors of one shape after each other.
  case stack([TensorInfo])
  /// The scales or biases, `F32`, that the integers and factors of super-blocks make.
  case blockTable(SuperBlock, isBias: Bool, steps: TensorInfo, factors: TensorInfo)
  /// The same floats in a dtype that holds them.
  case cast(TensorInfo)
  /// The biases that follow from scales and zero points; the latter are nil where the grid stores none.
  case zeroPointBiases(QuantizedLayout, scales: TensorInfo, zeroPoints: TensorInfo?)
}

/// The place of a matrix, or of a vector as its only row, in the elements of a larger tensor.
package struct TensorSlice: Sendable, Equatable {
  /// The index of the first element.
  package var start: Int
  /// The number of rows.
  package let rowCount: Int
  /// The number of columns.
  package let columnCount: Int
  /// The distance of neighbouring rows, in elements.
  package let rowStride: Int
  /// The distance of neighbouring columns, in elements.
  package let columnStride: Int

  /// Describes rows that follow each other in the tensor.
  package init(start: Int, rows rowCount: Int, columns columnCount: Int) {
    self.init(start: start, rows: rowCount, columns: columnCount, rowStride: columnCount, columnStride: 1)
  }

  /// Describes rows and columns at any distance.
  package init(start: Int, rows rowCount: Int, columns columnCount: Int, rowStride: Int, columnStride: Int) {
    self.start = start
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.rowStride = rowStride
    self.columnStride = columnStride
  }

  /// Whether the elements follow each other in the tensor.
  private var isContiguous: Bool { columnStride == 1 && (rowCount == 1 || rowStride == columnCount) }

  /// The elements from the first to the last.
  fileprivate var elements: Range<Int> {
    guard rowCount > 0, columnCount > 0 else { return start..<start }
    return start..<start + (rowCount - 1) * rowStride + (columnCount - 1) * columnStride + 1
  }

  /// Takes the elements out of the tensor's bytes; elements that follow each other are not copied.
  ///
  /// - Parameters:
  ///   - bytes: The bytes of the whole tensor, which has every element of the slice.
  ///   - width: The bytes of an element.
  /// - Returns: The elements, row by row.
  fileprivate func cut(_ bytes: TensorBytes, elementWidth width: Int) -> TensorBytes {
    if isContiguous {
      return bytes.slice(start * width..<(start + rowCount * columnCount) * width)
    }
    var result: [UInt8] = []
    result.reserveCapacity(rowCount * columnCount * width)
    bytes.withSpan { span in
      for row in 0..<rowCount {
        for column in 0..<columnCount {
          let place = (start + row * rowStride + column * columnStride) * width
          for byte in 0..<width { result.append(span.byte(at: place + byte)) }
        }
      }
    }
    return TensorBytes(result)
  }
}

/// A store in which some tensors are made from others.
struct StoreWithDerivedTensors: TensorStore {
  private let base: any TensorStore
  /// The tensors that are made, by name.
  private let derived: [String: DerivedTensor]
  private let last = LastTensor()

  init(base: any TensorStore, derived: [String: DerivedTensor]) {
    self.base = base
    self.derived = derived
  }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    switch derived[tensor.name] {
    case nil: return try base.bytes(of: tensor)
    case .slice(var slice, let source):
      if let part = try base.part(of: source, slice.elements) {
        slice.start -= part.start
        return slice.cut(part.bytes, elementWidth: source.dtype.bitWidth / 8)
      }
      let bytes = try last.bytes(of: source) { try base.bytes(of: source) }
      return slice.cut(bytes, elementWidth: source.dtype.bitWidth / 8)
    case .stack(let parts):
      var bytes: [UInt8] = []
      bytes.reserveCapacity(tensor.byteCount)
      for part in parts { try base.bytes(of: part).withSpan { bytes += $0.copiedBytes() } }
      return TensorBytes(bytes)
    case .blockTable(let kind, let isBias, let steps, let factors):
      let factors = try base.bytes(of: factors).withSpan { widened($0, from: .f16) }
      let tables = try base.bytes(of: steps).withSpan {
        BlockTables(kind: kind, steps: $0, factors: factors)
      }
      return TensorBytes(narrowed(isBias ? tables.biases : tables.scales, to: .f32))
    case .cast(let source):
      guard source.dtype != tensor.dtype else { return try base.bytes(of: source) }
      return TensorBytes(floats: try floats(of: source), as: tensor.dtype)
    case .zeroPointBiases(let layout, let scales, let zeroPoints):
      let (rows, groups) = (scales.shape[0], scales.shape[1])
      guard let grid = layout.zeroPointGrid else {
        preconditionFailure("'\(tensor.name)' has no zero points")
      }
      let zeros =
        try zeroPoints.map { zeroPoints in
          try base.bytes(of: zeroPoints).withSpan {
            ZeroPoints(stored: $0, grid: grid, bits: layout.bits, groupsPerRow: groups)
          }
        } ?? ZeroPoints(symmetric: layout.bits, groupsPerRow: groups, rows: rows)
      return TensorBytes(floats: zeros.biases(of: try floats(of: scales)), as: tensor.dtype)
    }
  }

  /// The values of a stored tensor of floats.
  private func floats(of tensor: TensorInfo) throws -> [Float] {
    guard let format = FloatFormat(tensor.dtype) else {
      preconditionFailure("'\(tensor.name)' is \(tensor.dtype.rawValue)")
    }
    return try base.bytes(of: tensor).withSpan { widened($0, from: format) }
  }

  func bytes(of asset: Asset) throws -> TensorBytes { try base.bytes(of: asset) }

  func storedForm(of tensor: TensorInfo) -> StoredForm? { base.storedForm(of: tensor) }

  var weightFileNames: [String] { base.weightFileNames }
}

/// The tensor that was read last, because its other slices are usually read next.
private final class LastTensor: Sendable {
  private let last = Mutex<(name: String, bytes: TensorBytes)?>(nil)

  func bytes(of tensor: TensorInfo, _ read: () throws -> TensorBytes) throws -> TensorBytes {
    if let last = last.withLock({ $0 }), last.name == tensor.name { return last.bytes }
    let bytes = try read()
    last.withLock { $0 = (tensor.name, bytes) }
    return bytes
  }
}
