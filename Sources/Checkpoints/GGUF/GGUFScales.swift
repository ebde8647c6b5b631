import Kernels

/// The numbers that multiply the values of a file's tensors in NVFP4: one for a matrix, one for each expert.
///
/// `Formats/gguf.md` has the names.
struct GGUFScales {
  private static let factorEnding = ".scale"
  private static let inputEnding = ".input_scale"

  private var factors: [String: [Float]] = [:]
  /// The names of the tensors that hold such numbers, and of those that tell a runtime how to round inputs.
  private(set) var names: Set<String> = []
  /// The number of tensors that tell a runtime how to round inputs.
  private var inputCount = 0

  /// Reads the numbers.
  ///
  /// - Parameters:
  ///   - entries: The tensors of the file.
  ///   - file: The file.
  /// - Throws: `FormatError` for a tensor of such a name that is no number for each matrix, and for a number that is
  ///   not finite.
  init(_ entries: [GGUFHeader.Entry], _ file: InputFile) throws(FormatError) {
    var matrices: [String: GGUFHeader.Entry] = [:]
    for entry in entries where entry.type == .nvfp4 {
      if let module = ModuleTensor.weight.module(of: entry.name) { matrices[module] = entry }
    }
    guard !matrices.isEmpty else { return }
    for entry in entries {
      if entry.name.hasSuffix(Self.inputEnding), matrices[module(of: entry, Self.inputEnding)] != nil {
        names.insert(entry.name)
        inputCount += 1
      } else if entry.name.hasSuffix(Self.factorEnding),
        let matrix = matrices[module(of: entry, Self.factorEnding)]
      {
        names.insert(entry.name)
        factors[matrix.name] = try Self.numbers(of: entry, for: matrix, file)
      }
    }
  }

  private func module(of entry: GGUFHeader.Entry, _ ending: String) -> String {
    String(entry.name.dropLast(ending.count))
  }

  private static func numbers(
    of entry: GGUFHeader.Entry, for matrix: GGUFHeader.Entry, _ file: InputFile
  ) throws(FormatError) -> [Float] {
    func refused(_ problem: FormatError.Problem) -> FormatError {
      FormatError(file.path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'", problem)
    }
    let count = matrix.shape.count == 3 ? matrix.shape[0] : 1
    guard entry.type == .f32, entry.elementCount == count else {
      throw refused(
        .malformed(
          "is \(entry.type.name) \(entry.shape), not F32 of \(count) number\(count == 1 ? "" : "s")"))
    }
    let values = try file.withBytes(in: entry.range) { widened($0, from: .f32) }
    guard let index = values.firstIndex(where: { !$0.isFinite }) else { return values }
    throw refused(.malformed("value \(index) is not finite"))
  }

  /// What multiplies the values of a tensor; of a stack, those of one expert.
  func factor(of tensor: String, expert: Int = 0) -> Float { factors[tensor]?[expert] ?? 1 }

  /// What to tell about numbers that are left out; nil without them.
  var notice: String? { RuntimeScales.notice(count: inputCount) }
}
