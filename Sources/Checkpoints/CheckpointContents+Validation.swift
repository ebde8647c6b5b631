extension CheckpointContents {
  /// Checks that the tensors match `quantization` and `adapter`.
  ///
  /// A quantized module has the tensors of its layout; an adapted module has a `weight`, `lora_A.weight`
  /// `[rank, in]` or `[rank, in / groupSize]` and `lora_B.weight` `[out, rank]`; a trained change of a
  /// table is `F32` and has the table's shape.
  ///
  /// - Parameters:
  ///   - path: The path for errors.
  ///   - allowsStacks: Whether a quantized module can be a stack of matrices, as MLX stores experts.
  /// - Throws: `FormatError` with the tensor and the numbers.
  package func validateQuantization(path: String, allowsStacks: Bool = false) throws(FormatError) {
    let extras = AdapterNames(tensors)
    guard !quantization.isEmpty || adapter != nil || !extras.isEmpty else { return }
    let check = ModuleCheck(self, path: path, allowsStacks: allowsStacks)
    for module in quantization.keys.sorted(by: precedes) { try check.checkQuantized(module) }
    try check.checkDeltas(extras.deltas)
    try check.checkAdapted(extras.adapted)
  }
}

/// Whether a name comes first in byte order, the order of every written listing.
package func precedes(_ first: String, _ second: String) -> Bool {
  first.utf8.lexicographicallyPrecedes(second.utf8)
}

/// The modules that have adapter tensors, judging by names alone.
private struct AdapterNames {
  var deltas: [(module: String, kind: ModuleTensor, table: ModuleTensor)] = []
  var adapted: [String] = []

  var isEmpty: Bool { deltas.isEmpty && adapted.isEmpty }

  init(_ tensors: [TensorInfo]) {
    for tensor in tensors {
      if let part = ModuleTensor.part(of: tensor.name), let table = part.changedTable,
        let module = part.module(of: tensor.name)
      {
        deltas.append((module, part, table))
      } else if let module = ModuleTensor.loraA.module(of: tensor.name)
        ?? ModuleTensor.loraB.module(of: tensor.name)
      {
        adapted.append(module)
      }
    }
    adapted = Set(adapted).sorted(by: precedes)
  }
}

/// The rules of one checkpoint's modules.
private struct ModuleCheck {
  let contents: CheckpointContents
  let path: String
  private let allowsStacks: Bool
  private let tensors: [String: TensorInfo]

  init(_ contents: CheckpointContents, path: String, allowsStacks: Bool) {
    self.contents = contents
    self.path = path
    self.allowsStacks = allowsStacks
    tensors = Dictionary(contents.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  func checkQuantized(_ module: String) throws(FormatError) {
    try contents.quantization[module]?.validate(module, path: path, allowsStacks: allowsStacks) {
      tensors[$0]
    }
  }

  func checkDeltas(
    _ deltas: [(module: String, kind: ModuleTensor, table: ModuleTensor)]
  ) throws(FormatError) {
    for (module, kind, tableKind) in deltas {
      let delta = try require(kind, of: module)
      guard contents.quantization[module] != nil else {
        throw error(delta, .malformed("module '\(module)' is not quantized"))
      }
      let table = try require(tableKind, of: module)
      guard delta.dtype == .f32 else { throw error(delta, .malformed("is \(delta.dtype.rawValue), not F32")) }
      try check(delta, has: table.shape)
    }
  }

  func checkAdapted(_ modules: [String]) throws(FormatError) {
    guard let adapter = contents.adapter else {
      guard let module = modules.first else { return }
      throw FormatError(
        path, at: "module '\(module)'", .missing("what its adapter means (kind, rank, alpha)"))
    }
    guard adapter.rank > 0, adapter.alpha.isFinite else {
      throw FormatError(path, .malformed("adapter of rank \(adapter.rank), alpha \(adapter.alpha)"))
    }
    guard !modules.isEmpty else { throw FormatError(path, .missing("the tensors of the adapter")) }
    for module in modules { try checkAdapted(module, adapter) }
  }

  private func checkAdapted(_ module: String, _ adapter: AdapterParameters) throws(FormatError) {
    let loraA = try require(.loraA, of: module)
    let loraB = try require(.loraB, of: module)
    let weight = try require(.weight, of: module)
    guard weight.shape.count == 2 else {
      throw error(weight, .malformed("shape \(weight.shape) cannot have an adapter"))
    }
    try check(loraA, has: [adapter.rank, try inputCount(of: module, weight, adapter.kind)])
    try check(loraB, has: [weight.shape[0], adapter.rank])
    for tensor in [loraA, loraB] where !tensor.dtype.isWeight {
      throw error(tensor, .malformed("is \(tensor.dtype.rawValue), not F16, BF16 or F32"))
    }
  }

  /// The number of inputs of A: columns, or groups of columns.
  private func inputCount(
    of module: String, _ weight: TensorInfo, _ kind: AdapterParameters.Kind
  ) throws(FormatError) -> Int {
    // The codes of a quantized module were checked before.
    switch (kind, contents.quantization[module]) {
    case (.dense, nil): return weight.shape[1]
    case (.dense, let layout?): return layout.shape(ofStored: weight)[1]
    case (.pooled, let layout?): return layout.shape(ofStored: weight)[1] / layout.groupSize
    case (.pooled, nil):
      throw FormatError(
        path, at: "module '\(module)'", .malformed("has a pooled adapter but is not quantized in groups"))
    }
  }

  private func require(_ kind: ModuleTensor, of module: String) throws(FormatError) -> TensorInfo {
    guard let tensor = tensors[kind.name(of: module)] else {
      throw FormatError(path, at: "module '\(module)'", .missing("tensor '\(kind.name(of: module))'"))
    }
    return tensor
  }

  private func check(_ tensor: TensorInfo, has shape: [Int]) throws(FormatError) {
    guard tensor.shape == shape else { throw error(tensor, .shape(expected: shape, found: tensor.shape)) }
  }

  private func error(_ tensor: TensorInfo, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "tensor '\(tensor.name)'", problem)
  }
}

extension QuantizedLayout {
  /// Checks that a module has the tensors of the layout.
  ///
  /// - Parameters:
  ///   - module: The module's name.
  ///   - path: The path for errors.
  ///   - allowsStacks: Whether the tensors can have one more dimension, for a stack of matrices.
  ///   - tensor: Finds a tensor by its name.
  /// - Throws: `FormatError` with the tensor and the numbers.
  func validate(
    _ module: String, path: String, allowsStacks: Bool = false, _ tensor: (String) -> TensorInfo?
  ) throws(FormatError) {
    let phrase = "of \(phrase)"
    if let problem { throw FormatError(path, at: "module '\(module)' \(phrase)", problem) }
    func require(_ kind: ModuleTensor) throws(FormatError) -> TensorInfo {
      guard let tensor = tensor(kind.name(of: module)) else {
        throw FormatError(path, at: "module '\(module)'", .missing("tensor '\(kind.name(of: module))'"))
      }
      return tensor
    }
    let codes = try require(.weight)
    let place = "tensor '\(codes.name)'"
    let stack = allowsStacks && codes.shape.count == 3 ? [codes.shape[0]] : []
    guard codes.dtype == .u32, codes.shape.count == stack.count + 2 else {
      throw FormatError(
        path, at: place,
        .malformed("is \(codes.dtype.rawValue) \(codes.shape); codes are U32 of 2 dimensions"))
    }
    let wordCount = codes.shape[stack.count + 1]
    guard let columnCount = columnCount(wordCount: wordCount) else {
      throw FormatError(
        path, at: place,
        .malformed(
          "\(wordCount) words per row are not whole groups of \(blockColumnCount) \(bits)-bit codes"))
    }
    for part in parts(rows: codes.shape[stack.count], columns: columnCount).dropFirst() {
      let table = try require(part.kind)
      let expected = stack + part.shape
      guard table.shape == expected else {
        throw FormatError(
          path, at: "tensor '\(table.name)' \(phrase)", .shape(expected: expected, found: table.shape))
      }
      guard part.dtypes.contains(table.dtype) else {
        throw FormatError(
          path, at: "tensor '\(table.name)'",
          .malformed("is \(table.dtype.rawValue), not \(part.dtypes.map(\.rawValue).alternatives())"))
      }
    }
  }
}
