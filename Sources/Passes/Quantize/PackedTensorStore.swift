import Checkpoints
import Kernels

/// Packed tensors in a temporary file, until they are written to the output.
struct PackedTensorStore {
  private let path: String
  private let tables: FloatFormat
  private var places: [String: [Range<Int>]] = [:]
  private var end = 0

  init(path: String, tables: FloatFormat) {
    self.path = path
    self.tables = tables
  }

  /// Appends a module.
  mutating func add(_ name: String, _ packed: PackedTensor, to file: inout OutputFile) throws {
    places[name] = try packed.stored(tables).map { bytes in
      try file.append(bytes)
      end += bytes.count
      return end - bytes.count..<end
    }
  }

  /// Maps the file and returns the tensors of each added module, in the order of their layout's parts.
  func modules() throws -> [String: [TensorBytes]] {
    let file = try MappedFile(path: path)
    return places.mapValues { ranges in ranges.map { TensorBytes(file, range: $0) } }
  }
}

extension PackedTensor {
  /// The bytes of its tensors, in the order of their layout's parts; free tables are in a format.
  func stored(_ tables: FloatFormat) -> [[UInt8]] {
    if let blocks {
      let codes = QuantizedLayout.superBlock(blocks.kind).storedCodes(codes)
      return [codes, blocks.stepBytes, narrowed(blocks.factors, to: .f16)]
    }
    let scales = narrowed(scales, to: tables)
    if let zeroPoints { return [codes, scales] + (zeroPoints.isStored ? [zeroPoints.bytes] : []) }
    return [codes, scales, narrowed(biases, to: tables)]
  }
}
