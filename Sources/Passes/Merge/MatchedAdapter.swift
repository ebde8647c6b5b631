import Checkpoints
import Kernels
import Models

/// An adapter of PEFT, matched with the modules and tensors of its base; every part of it has a place.
struct MatchedAdapter {
  let adapter: PeftAdapter
  /// The modules with an adapter, by name.
  let modules: [String: PeftModule]
  /// The adapter's tensors that replace a tensor of the base, by the names of the base.
  let replacements: [String: TensorInfo]
  private var base: Checkpoint
  let pooling: PoolingConvention?
  /// Whether the adapter changes a head or an embedding that the base stores as two tensors although its
  /// configuration ties them.
  ///
  /// The configuration of the result must then untie them.
  let unties: Bool

  /// Opens an adapter and matches it with its base.
  ///
  /// - Parameters:
  ///   - source: The path of the adapter and its pooling.
  ///   - base: The checkpoint that the adapter was made for.
  /// - Throws: `FormatError` when a part of the adapter has no place, or the targets in its configuration
  ///   differ from its modules; `PassError.notExact` when it changes only one of two places that share a
  ///   tensor of the base.
  init(_ source: AdapterSource, base: Checkpoint) throws {
    adapter = try PeftAdapter.open(source.path.resolved).named { base.tensor(named: $0) != nil }
    self.base = base
    pooling = source.pooling
    let tie = try TiedHead(of: base)
    let parts = try tie?.merged(adapter) ?? (modules: adapter.modules, replacements: adapter.replacements)
    modules = Dictionary(parts.modules.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    replacements = Dictionary(
      parts.replacements.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    unties =
      try tie == nil && adapter.changesTies && base.configuration()["tie_word_embeddings"]?.bool == true
    try refuseSecondAdapter()
    try checkTargets()
    for module in parts.modules { try check(module) }
    for replacement in parts.replacements { try check(replacement) }
  }

  /// Returns the shape of a module's weight as it is applied, `[rows, columns]`, packed or not.
  private func weightShape(_ weight: TensorInfo, _ module: String) -> [Int] {
    guard let parameters = base.contents.quantization[module] else { return weight.shape }
    return parameters.shape(ofStored: weight)
  }

  /// Whether a module's weight is stored as `[in, out]`.
  func isTransposed(_ module: PeftModule) -> Bool { module.isEmbedding || adapter.isFanInFanOut }

  /// Returns the number of weight columns per column of A, and the additional factor of A.
  ///
  /// The update of a column is `scaling · factor / columns · (B·A)`.
  func pool(_ module: PeftModule) throws(FormatError) -> (columns: Int, factor: Double) {
    guard isPooled, let weight = base.tensor(named: module.name + ".weight") else { return (1, 1) }
    let columns = weightShape(weight, module.name)[1]
    let pools = module.loraA.shape[1]
    guard columns % pools == 0, columns > pools || adapter.groupSize == 1 else {
      throw error(
        module.loraA,
        .malformed(
          "\(pools) columns, but a pooled adapter needs a proper divisor of the module's \(columns) columns"))
    }
    return (columns / pools, pooling == .qaLora ? 1 : Double(pools))
  }

  private func error(_ tensor: TensorInfo, _ problem: FormatError.Problem) -> FormatError {
    FormatError(adapter.tensorsPath, at: "tensor '\(tensor.name)'", problem)
  }
}

extension MatchedAdapter {
  private func refuseSecondAdapter() throws {
    let isBeside = { (tensor: TensorInfo) in ModuleTensor.part(of: tensor.name)?.isBesideWeight == true }
    guard base.contents.tensors.contains(where: isBeside) else { return }
    throw PassError.usage(
      "\(base.path): has an adapter or trained changes already; merge them before bringing another")
  }

  /// Checks that the configuration and the tensors name the same modules.
  private func checkTargets() throws(FormatError) {
    let isTarget = adapter.targetMatcher()
    let path = adapter.configurationPath
    let names = ModuleDescription.names(of: base.contents)
    for module in names where isTarget(module) && modules[module] == nil {
      throw FormatError(
        path, at: "key 'target_modules'",
        .malformed(
          "takes in '\(module)', which has no tensors in the adapter" + nearest(module, modules.keys)))
    }
    for module in adapter.modules
    where base.tensor(named: module.name + ".weight") != nil && !isTarget(module.name) {
      throw FormatError(
        path, at: "key 'target_modules'",
        .malformed("leaves out '\(module.name)', which has tensors in the adapter"))
    }
    // Lists are often made for several architectures; PEFT only requires one of the names to match.
    guard adapter.modules.isEmpty, !adapter.targetNames.isEmpty, !names.contains(where: isTarget) else {
      return
    }
    throw FormatError(
      path, at: "key 'target_modules'", .malformed("matches no module of '\(base.path)'"))
  }

  private func check(_ module: PeftModule) throws(FormatError) {
    guard let weight = base.tensor(named: module.name + ".weight"), weight.shape.count == 2 else {
      let names = ModuleDescription.names(of: base.contents)
      throw error(
        module.loraA,
        .malformed("matches no module with a matrix in '\(base.path)'" + nearest(module.name, names)))
    }
    guard base.contents.quantization[module.name] != nil || weight.dtype.isWeight else {
      throw FormatError(
        base.path, at: "tensor '\(weight.name)'",
        .unsupported("dtype \(weight.dtype.rawValue) has no adapter merged into it; F32, F16 and BF16 have"))
    }
    let shape = weightShape(weight, module.name)
    let (out, input) = isTransposed(module) ? (shape[1], shape[0]) : (shape[0], shape[1])
    let inputs = try isPooled ? pooledInputs(module, input) : input
    try check(module.loraA, has: [module.rank, inputs])
    try check(module.loraB, has: [out, module.rank])
    if let magnitude = module.magnitude { try check(magnitude, has: [out]) }
    guard let bias = module.bias else { return }
    try check(bias, has: [out])
    guard let own = base.tensor(named: module.name + ".bias"), own.shape == [out], own.dtype.isWeight else {
      throw error(bias, .unsupported("the module has no bias in '\(base.path)' that could take it in"))
    }
  }

  /// Returns the number of columns that A must have.
  private func pooledInputs(_ module: PeftModule, _ input: Int) throws(FormatError) -> Int {
    guard !isTransposed(module) else {
      throw error(module.loraA, .unsupported("a pooled adapter of a module that is stored as [in, out]"))
    }
    let pool = try pool(module).columns
    if let groupSize = adapter.groupSize, pool != groupSize {
      throw error(
        module.loraA, .malformed("pools \(pool) of \(input) columns where qalora_group_size is \(groupSize)"))
    }
    return input / pool
  }

  private func check(_ replacement: PeftReplacement) throws {
    guard let own = base.tensor(named: replacement.name) else {
      throw error(
        replacement.tensor,
        .malformed(
          "matches no tensor in '\(base.path)'" + nearest(replacement.name, base.contents.tensors.map(\.name))
        ))
    }
    if let (module, part) = ModuleTensor.split(own.name), part == .weight,
      let parameters = base.contents.quantization[module]
    {
      throw PassError.notExact(
        "module '\(module)': is replaced by the adapter, but packed to \(parameters.bits) bits in '\(base.path)'; "
          + "merge into the dense model and quantize then")
    }
    guard own.dtype.isWeight else {
      throw FormatError(
        base.path, at: "tensor '\(own.name)'", .unsupported("dtype \(own.dtype.rawValue) is not replaced"))
    }
    try check(replacement.tensor, has: own.shape)
  }

  private func check(_ tensor: TensorInfo, has shape: [Int]) throws(FormatError) {
    guard tensor.shape == shape else { throw error(tensor, .shape(expected: shape, found: tensor.shape)) }
  }

  private func nearest(_ name: String, _ names: some Sequence<String>) -> String {
    nearestName(to: name, among: names.sorted()).map { ", the nearest is '\($0)'" } ?? ""
  }
}

extension MatchedAdapter {
  /// Returns the same match for the base after its bytes were written.
  func with(base: Checkpoint) -> MatchedAdapter {
    var matched = self
    matched.base = base
    return matched
  }

  /// Returns the values of a tensor of the adapter.
  func values(_ tensor: TensorInfo) throws -> [Float] { try adapter.values(of: tensor) }

  /// Returns the bytes of a tensor of the base, or of its replacement, in the base's dtype.
  func bytes(of own: TensorInfo) throws -> TensorBytes {
    guard let tensor = replacements[own.name] else { return try base.bytes(of: own.name) }
    guard tensor.dtype != own.dtype, let format = FloatFormat(own.dtype) else {
      return try adapter.bytes(of: tensor)
    }
    return TensorBytes(narrowed(try values(tensor), to: format))
  }
}
