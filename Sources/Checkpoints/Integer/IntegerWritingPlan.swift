internal import Kernels

/// The planned contents of a folder with integer zero points, proven to be exact before writing.
struct IntegerWritingPlan {
  /// A module that is written.
  struct Module {
    let name: String
    let bits: Int
    let groupSize: Int
    let outputCount: Int
    let inputCount: Int
    let isSymmetric: Bool

    var groupCount: Int { inputCount / groupSize }
  }

  let format: IntegerFormat
  /// The modules by name.
  let modules: [String: Module]
  /// How scales are stored.
  let scaleFormat: FloatFormat
  /// The contents for the folder writer, with packed tensors in place of each module's three.
  let written: CheckpointContents
  /// The text of `config.json`.
  let configuration: [UInt8]
  /// The file that repeats the quantization of `config.json`, if the format has one.
  let repeatedConfiguration: (name: String, text: [UInt8])?
  private let zeroPoints: StoredZeroPoints

  /// Reads the tables and checks that they can be represented.
  ///
  /// - Parameters:
  ///   - contents: What will be written.
  ///   - source: Holds the tables.
  ///   - folder: The folder for errors.
  ///   - format: The format.
  ///   - allowsLoss: Whether tables that the format cannot hold exactly are accepted.
  /// - Throws: `FormatError`.
  init(
    _ contents: CheckpointContents, _ source: Checkpoint, folder: String, _ format: IntegerFormat,
    allowsLoss: Bool
  ) throws {
    try contents.validateQuantization(path: folder)
    self.format = format
    let survey = IntegerSurvey(contents, source, folder: folder, format: format, allowsLoss: allowsLoss)
    try survey.checkContents()
    scaleFormat = try survey.scaleFormat()
    modules = try survey.modules(scaleFormat)
    let isSymmetric = modules.values.allSatisfy(\.isSymmetric)
    zeroPoints = format.storedZeroPoints(isSymmetric: isSymmetric)
    let block = IntegerConfigurationBlock(
      format: format, modules: modules.values.sorted { precedes($0.name, $1.name) }, tensors: contents.tensors
    ).json
    configuration = try survey.configuration(with: block)
    repeatedConfiguration = format.repeatedName.map { ($0, Array((block.prettyText + "\n").utf8)) }
    var written = contents
    written.quantization = [:]
    written.tensors = Self.tensors(contents.tensors, modules, format, scaleFormat)
    written.assets.removeAll { IntegerFolder.configurationNames.contains($0.name) }
    for i in written.assets.indices where written.assets[i].name == SafetensorsFolder.configurationName {
      written.assets[i] = Asset(name: written.assets[i].name, byteCount: configuration.count)
    }
    if let repeatedConfiguration {
      written.assets.append(
        Asset(name: repeatedConfiguration.name, byteCount: repeatedConfiguration.text.count))
    }
    self.written = written
  }

  /// The tensors, with each module's packed tensors where the last of its three was.
  private static func tensors(
    _ tensors: [TensorInfo], _ modules: [String: Module], _ format: IntegerFormat, _ scaleFormat: FloatFormat
  ) -> [TensorInfo] {
    var seen: [String: Int] = [:]
    return tensors.flatMap { tensor -> [TensorInfo] in
      guard let (name, part) = ModuleTensor.split(tensor.name), let module = modules[name],
        [.weight, .scales, .biases].contains(part)
      else { return [tensor] }
      seen[name, default: 0] += 1
      return seen[name] == 3 ? packed(module, format, scaleFormat) : []
    }
  }

  private static func packed(
    _ module: Module, _ format: IntegerFormat, _ scaleFormat: FloatFormat
  ) -> [TensorInfo] {
    let (outputs, groups) = (module.outputCount, module.groupCount)
    let words = module.inputCount * module.bits / 32
    func tensor(_ ending: String, _ dtype: DType, _ shape: [Int]) -> TensorInfo {
      TensorInfo(name: module.name + ending, dtype: dtype, shape: shape)
    }
    let endings = format.layout.endings
    switch format {
    case .gptq, .gptqV2, .autoRound:
      let tensors = [
        tensor(endings.codes, .i32, [words, outputs]),
        tensor(endings.zeroPoints, .i32, [groups, outputs * module.bits / 32]),
        tensor(endings.scales, scaleFormat.dtype, [groups, outputs]),
      ]
      return format == .autoRound
        ? tensors : tensors + [tensor(endings.groupIndex, .i32, [module.inputCount])]
    case .compressedTensors:
      let tensors = [
        tensor(endings.codes, .i32, [outputs, words]),
        tensor(endings.scales, scaleFormat.dtype, [outputs, groups]),
        tensor(".weight_shape", .i64, [2]),
      ]
      return module.isSymmetric
        ? tensors : tensors + [tensor(endings.zeroPoints, .i32, [(outputs * module.bits + 31) / 32, groups])]
    }
  }

  /// The packed tensors of a module, in the announced order.
  func encoded(
    _ module: Module, codes: [UInt8], _ tables: IntegerTables
  ) -> [(tensor: TensorInfo, bytes: [UInt8])] {
    let (outputs, groups, bits) = (module.outputCount, module.groupCount, module.bits)
    let values: [[UInt8]]
    switch format {
    case .gptq, .gptqV2, .autoRound:
      let fields = zeroPoints == .v1 ? tables.zeroPoints.map { $0 - 1 } : tables.zeroPoints
      values = [
        TensorBytes(codes).withSpan {
          transposedWords($0, rowCount: outputs, columnCount: module.inputCount * bits / 32)
        },
        PackedZeroPoints.rows(fields, bits: bits, groupCount: groups),
        narrowed(transposed(tables.scales, rowCount: outputs, columnCount: groups), to: scaleFormat),
        Self.littleEndian((0..<module.inputCount).map { Int32($0 / module.groupSize) }),
      ]
    case .compressedTensors:
      values = [
        codes, narrowed(tables.scales, to: scaleFormat),
        Self.littleEndian([Int64(outputs), Int64(module.inputCount)]),
        PackedZeroPoints.columns(tables.zeroPoints, bits: bits, groupCount: groups),
      ]
    }
    return Array(zip(Self.packed(module, format, scaleFormat), values))
  }

  private static func littleEndian<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count * T.bitWidth / 8)
    for value in values { bytes.appendInteger(value) }
    return bytes
  }
}

extension IntegerFormat {
  /// The file in which tools repeat the configuration.
  var repeatedName: String? {
    switch self {
    case .gptq, .gptqV2: GPTQConfiguration.fileName
    case .autoRound: AutoRoundConfiguration.fileName
    case .compressedTensors: nil
    }
  }
}
