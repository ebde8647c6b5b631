internal import Kernels

/// The first pass over a checkpoint that will be written with integer zero points.
struct IntegerSurvey {
  private let contents: CheckpointContents
  private let source: Checkpoint
  private let folder: String
  private let format: IntegerFormat
  private let allowsLoss: Bool

  init(
    _ contents: CheckpointContents, _ source: Checkpoint, folder: String, format: IntegerFormat,
    allowsLoss: Bool
  ) {
    self.contents = contents
    self.source = source
    self.folder = folder
    self.format = format
    self.allowsLoss = allowsLoss
  }

  private var names: [String] { contents.quantization.keys.sorted(by: precedes) }

  /// Refuses contents that the format has no place for.
  func checkContents() throws {
    guard !contents.quantization.isEmpty else {
      throw FormatError(folder, .unsupported("nothing is quantized, which \(format.rawValue) needs"))
    }
    for case (let module, let layout?) in names.map({ ($0, contents.quantization[$0]) })
    where layout.superBlock != nil || !IntegerFormat.codeWidths.contains(layout.bits) {
      throw FormatError(
        folder, at: "module '\(module)'",
        .notExact("has \(layout.phrase), which \(format.rawValue) does not hold; \(format.remedy)"))
    }
    // GPTQ's tools pack only linears; compressed-tensors names the modules that it packs.
    if format.layout == .gptq, let module = names.first(where: ModuleTensor.isEmbedding) {
      throw FormatError(
        folder, at: "module '\(module)'",
        .notExact("is a quantized embedding, which \(format.rawValue) does not have"))
    }
    for tensor in contents.tensors where ModuleTensor.part(of: tensor.name)?.isBesideWeight == true {
      throw FormatError(
        folder, at: "tensor '\(tensor.name)'",
        .notExact("\(format.rawValue) has no adapters and trained changes; they have to be merged first"))
    }
  }

  /// The format of scales: F16 in GPTQ's layout, otherwise that of dense tensors, or another one that holds
  /// all scales.
  ///
  /// If a loss is allowed and no format holds all scales, it is that of dense tensors, or F16 if those are
  /// F32.
  func scaleFormat() throws -> FloatFormat {
    guard format == .compressedTensors else { return .f16 }
    let dense = contents.tensors.first { tensor in
      tensor.dtype.isWeight
        && ModuleTensor.split(tensor.name).map { contents.quantization[$0.module] == nil } ?? true
    }
    let own = dense.flatMap { FloatFormat($0.dtype) } ?? .bf16
    var candidates = [own, .bf16, .f16].filter { $0 != .f32 }
    for name in names {
      let scales = try floats(.scales, of: name)
      candidates.removeAll { widened(narrowed(scales, to: $0), from: $0) != scales }
    }
    if let format = candidates.first { return format }
    // Levels that round in F32 could not be read back, so the loss is taken in 16 bits.
    return try allowsLoss && !holdsAll(.f32) ? (own == .f32 ? .f16 : own) : .f32
  }

  private func holdsAll(_ scaleFormat: FloatFormat) throws -> Bool {
    try names.allSatisfy { try tables(of: $0, scaleFormat).firstLoss == nil }
  }

  private func tables(of name: String, _ scaleFormat: FloatFormat) throws -> IntegerTables {
    IntegerTables(
      scales: try floats(.scales, of: name), biases: try floats(.biases, of: name), bits: bits(of: name),
      format: scaleFormat, least: format.leastZeroPoint)
  }

  /// The modules, each checked.
  ///
  /// - Throws: `FormatError.notExact` at the first group that the format cannot hold.
  func modules(_ scaleFormat: FloatFormat) throws -> [String: IntegerWritingPlan.Module] {
    var modules: [String: IntegerWritingPlan.Module] = [:]
    for name in names {
      let tables = try tables(of: name, scaleFormat)
      let module = try module(name, isSymmetric: tables.isSymmetric(bits: bits(of: name)))
      if !allowsLoss, let loss = tables.firstLoss {
        let (row, group) = (loss.group / module.groupCount, loss.group % module.groupCount)
        throw FormatError(
          folder, at: "tensor '\(ModuleTensor.biases.name(of: name))'",
          .notExact(
            "row \(row), group \(group): \(loss.reason), so \(format.rawValue) does not hold it exactly; "
              + "--lossy writes the nearest, and \(format.remedy)"))
      }
      modules[name] = module
    }
    return modules
  }

  private func bits(of name: String) -> Int { contents.quantization[name]?.bits ?? 2 }

  private func module(_ name: String, isSymmetric: Bool) throws -> IntegerWritingPlan.Module {
    guard let parameters = contents.quantization[name],
      let codes = contents.tensors.first(where: { $0.name == ModuleTensor.weight.name(of: name) })
    else { preconditionFailure("module '\(name)' was validated before") }
    let shape = parameters.shape(ofStored: codes)
    let (outputCount, inputCount) = (shape[0], shape[1])
    if format.layout == .gptq {
      for (count, what) in [(outputCount, "outputs"), (inputCount, "columns")] where count % 32 != 0 {
        throw FormatError(
          folder, at: "tensor '\(codes.name)'",
          .notExact("\(count) \(what) are not a multiple of 32, which \(format.rawValue) needs"))
      }
    }
    return IntegerWritingPlan.Module(
      name: name, bits: parameters.bits, groupSize: parameters.groupSize, outputCount: outputCount,
      inputCount: inputCount, isSymmetric: isSymmetric)
  }

  private func floats(_ part: ModuleTensor, of name: String) throws -> [Float] {
    try source.floats(of: part.name(of: name))
  }

  /// The text of `config.json` with another description of the quantization.
  func configuration(with block: JSONValue) throws -> [UInt8] {
    let name = SafetensorsFolder.configurationName
    guard let bytes = try source.asset(named: name) else {
      throw FormatError(folder, .missing("'\(name)', which says what is quantized,"))
    }
    var document = try bytes.withSpan { text throws(FormatError) in
      try JSONValue(parsingObject: text, path: folder + "/" + name)
    }.withoutQuantization
    document.set("quantization_config", to: block)
    return Array((document.prettyText + "\n").utf8)
  }
}
