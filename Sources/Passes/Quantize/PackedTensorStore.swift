import Checkpoints
import Kernels

/// Packed tensors in a temporary file, until they are written to the output.
struct PackedTensorStore {
  private let path: String
  private let tables: FloatFormat
  private var places: [String: Place] = [:]
  private var end = 0

  private struct Place {
    let codes: Range<Int>
    let scales: Range<Int>
    let biases: Range<Int>
  }

  /// The stored bytes of one module.
  struct Module {
    let codes: TensorBytes
    let scales: TensorBytes
    let biases: TensorBytes
  }

  init(path: String, tables: FloatFormat) {
    self.path = path
    self.tables = tables
  }

  /// Appends a module.
  mutating func add(_ name: String, _ packed: PackedTensor, to file: inout OutputFile) throws {
    let scales = narrowed(packed.scales, to: tables)
    let biases = narrowed(packed.biases, to: tables)
    places[name] = Place(
      codes: try append(packed.codes, to: &file), scales: try append(scales, to: &file),
      biases: try append(biases, to: &file))
  }

  private mutating func append(_ bytes: [UInt8], to file: inout OutputFile) throws -> Range<Int> {
    try file.append(bytes)
    end += bytes.count
    return end - bytes.count..<end
  }

  /// Maps the file and returns the added modules.
  func modules() throws -> [String: Module] {
    let file = try MappedFile(path: path)
    return places.mapValues { place in
      Module(
        codes: TensorBytes(file, range: place.codes), scales: TensorBytes(file, range: place.scales),
        biases: TensorBytes(file, range: place.biases))
    }
  }
}
