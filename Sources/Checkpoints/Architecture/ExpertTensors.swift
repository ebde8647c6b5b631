extension Checkpoint {
  /// The same checkpoint with tensors of their own for the linears of each expert, where it has one tensor for
  /// all experts of a layer.
  ///
  /// Code that computes or quantizes reads experts this way. A model that is not understood stays as it is.
  ///
  /// - Throws: `FormatError` when a tensor of all experts has another shape than the configuration says.
  package func separatingExperts() throws(FormatError) -> Checkpoint {
    guard let layout = try? ModelLayout(of: self) else { return self }
    return try separatingExperts(layout: layout)
  }

  /// As above, for a layout that is known.
  ///
  /// - Throws: `FormatError` when a tensor of all experts has another shape than the configuration says.
  func separatingExperts(layout: ModelLayout) throws(FormatError) -> Checkpoint {
    let has = { self.tensor(named: $0) != nil }
    var editor = TensorDerivation(self)
    for (place, experts) in layout.experts {
      guard let fusion = experts.fusion, FusedTensors.names(fusion, module: place).contains(where: has)
      else { continue }
      let fused = FusedTensors(experts, fusion, module: place)
      for (source, slices) in fused.slices { try editor.cut(source.name, source.shape, into: slices) }
    }
    return editor.result
  }

  /// The same checkpoint with tensors of their own for the linears of each expert, where it has them stacked
  /// as MLX does.
  ///
  /// - Parameter configuration: The contents of `config.json`; nil without one.
  /// - Returns: The checkpoint itself if it has no stacks.
  /// - Throws: `FormatError` when a stack has not one slice for each expert.
  func separatingStackedExperts(_ configuration: JSONValue?) throws(FormatError) -> Checkpoint {
    guard contents.tensors.contains(where: { $0.shape.count == 3 }), let configuration,
      let model = try? ModelConfiguration(configuration, path: path)
    else { return self }
    let layout = ModelLayout(model) { tensor(named: $0) != nil }
    var editor = TensorDerivation(self)
    for (place, experts) in layout.experts {
      for (stack, modules) in experts.stacks(at: place) { try editor.unstack(stack, into: modules) }
    }
    return editor.result
  }

  /// The same checkpoint with the linears of all experts of a layer stacked, as MLX loads them.
  ///
  /// - Throws: `FormatError.notExact` when the experts of a layer are not all stored in the same way.
  package func stackingExpertsForMLX() throws(FormatError) -> Checkpoint {
    let separate = try separatingExperts()
    guard let layout = try? ModelLayout(of: separate) else { return self }
    var editor = TensorDerivation(separate)
    for (place, experts) in layout.experts {
      for (stack, modules) in experts.stacks(at: place) { try editor.stack(modules, as: stack) }
    }
    return editor.result
  }

  /// Whether the checkpoint's model is understood and has experts.
  package var hasExperts: Bool {
    guard let layout = try? ModelLayout(of: self) else { return false }
    return layout.configuration.description.layers.contains { $0.experts != nil }
  }
}

extension ModelLayout {
  /// The experts of the layers that have some, with the beginning of the names of the layer's modules.
  fileprivate var experts: [(place: String, experts: ExpertsDescription)] {
    configuration.description.layers.enumerated().compactMap { index, layer in
      layer.experts.map { ("\(prefix)\(configuration.family.layers.module).\(index).", $0) }
    }
  }
}

extension ExpertsDescription {
  /// The modules of all experts by the module of their stack.
  fileprivate func stacks(at place: String) -> [(stack: String, modules: [String])] {
    func stack(_ name: String, _ slot: (Expert) -> TensorSlot) -> (stack: String, modules: [String]) {
      ("\(place)\(self.stack).\(name)", experts.map { place + slot($0).module })
    }
    return [stack("gate_proj", \.gate), stack("up_proj", \.up), stack("down_proj", \.down)]
  }
}

/// The tensors of a layer with all experts, and what each expert has of them.
private struct FusedTensors {
  /// A tensor that is cut.
  typealias Source = (name: String, shape: [Int])
  /// A tensor that it is cut into.
  typealias Slice = (name: String, shape: [Int], slice: TensorSlice)

  /// The tensors, each with its slices.
  let slices: [(source: Source, slices: [Slice])]

  /// The names of the matrices.
  static func names(_ fusion: ExpertFusion, module place: String) -> [String] {
    ["gate_up_proj", "down_proj"].map { "\(place)\(fusion.module).\($0)" }
  }

  init(_ experts: ExpertsDescription, _ fusion: ExpertFusion, module place: String) {
    let (count, stream) = (experts.experts.count, experts.experts[0].down.shape[0])
    let inside = experts.experts[0].gate.shape[0]
    let inputsFirst = fusion.order == .inputsFirst
    let size = inside * stream
    var matrices: [Slice] = []
    var biases: [Slice] = []
    var downMatrices: [Slice] = []
    var downBiases: [Slice] = []
    for (index, expert) in experts.experts.enumerated() {
      for (part, slot) in [expert.gate, expert.up].enumerated() {
        let (start, biasStart) = (2 * index * size, 2 * index * inside)
        matrices.append(
          (
            place + slot.module + ".weight", [inside, stream],
            inputsFirst
              ? TensorSlice(
                start: start + part, rows: inside, columns: stream, rowStride: 2, columnStride: 2 * inside)
              : TensorSlice(start: start + part * size, rows: inside, columns: stream)
          ))
        biases.append(
          (
            ModuleTensor.bias.name(of: place + slot.module), [inside],
            inputsFirst
              ? TensorSlice(start: biasStart + part, rows: 1, columns: inside, rowStride: 0, columnStride: 2)
              : TensorSlice(start: biasStart + part * inside, rows: 1, columns: inside)
          ))
      }
      let down = place + expert.down.module
      downMatrices.append(
        (
          down + ".weight", [stream, inside],
          inputsFirst
            ? TensorSlice(
              start: index * size, rows: stream, columns: inside, rowStride: 1, columnStride: stream)
            : TensorSlice(start: index * size, rows: stream, columns: inside)
        ))
      downBiases.append(
        (
          ModuleTensor.bias.name(of: down), [stream],
          TensorSlice(start: index * stream, rows: 1, columns: stream)
        ))
    }
    let names = Self.names(fusion, module: place)
    let (gateAndUp, down) = (names[0], names[1])
    slices = [
      ((gateAndUp, inputsFirst ? [count, stream, 2 * inside] : [count, 2 * inside, stream]), matrices),
      ((gateAndUp + "_bias", [count, 2 * inside]), biases),
      ((down, inputsFirst ? [count, inside, stream] : [count, stream, inside]), downMatrices),
      ((down + "_bias", [count, stream]), downBiases),
    ]
  }
}

/// Replaces tensors of a checkpoint by slices or stacks of them.
private struct TensorDerivation {
  private let checkpoint: Checkpoint
  /// The tensors in the place of those that go, by the name of the latter.
  private var replacements: [String: [TensorInfo]] = [:]
  private var derived: [String: DerivedTensor] = [:]
  private var quantization: [String: QuantizedLayout]

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
    quantization = checkpoint.contents.quantization
  }

  /// The checkpoint with the changes.
  var result: Checkpoint {
    guard !replacements.isEmpty else { return checkpoint }
    var contents = checkpoint.contents
    contents.tensors = contents.tensors.flatMap { replacements[$0.name] ?? [$0] }
    contents.quantization = quantization
    return checkpoint.deriving(contents, from: derived)
  }

  /// Cuts a tensor, if it is there.
  mutating func cut(
    _ name: String, _ shape: [Int], into slices: [FusedTensors.Slice]
  ) throws(FormatError) {
    guard let source = checkpoint.tensor(named: name) else { return }
    guard source.shape == shape else {
      throw FormatError(
        checkpoint.path, at: "tensor '\(name)'", .shape(expected: shape, found: source.shape))
    }
    guard source.dtype.isWeight else {
      throw FormatError(
        checkpoint.path, at: "tensor '\(name)'",
        .unsupported("dtype \(source.dtype.rawValue) is no weight; F32, F16 and BF16 are"))
    }
    replacements[name] = slices.map { slice in
      derived[slice.name] = .slice(slice.slice, of: source)
      return TensorInfo(name: slice.name, dtype: source.dtype, shape: slice.shape)
    }
  }

  /// Cuts the tensors of a stacked module, if they are there.
  mutating func unstack(_ stack: String, into modules: [String]) throws(FormatError) {
    for part in ModuleTensor.allCases where !part.isBesideWeight {
      guard let source = checkpoint.tensor(named: part.name(of: stack)) else { continue }
      guard source.shape.count == (part == .bias ? 2 : 3), source.shape[0] == modules.count,
        source.dtype.bitWidth % 8 == 0
      else {
        throw FormatError(
          checkpoint.path, at: "tensor '\(source.name)'",
          .malformed("is \(source.dtype.rawValue) \(source.shape), expected \(modules.count) experts"))
      }
      let shape = Array(source.shape.dropFirst())
      let (rows, columns) = part == .bias ? (1, shape[0]) : (shape[0], shape[1])
      replacements[source.name] = modules.enumerated().map { index, module in
        let name = part.name(of: module)
        derived[name] = .slice(
          TensorSlice(start: index * rows * columns, rows: rows, columns: columns), of: source)
        return TensorInfo(name: name, dtype: source.dtype, shape: shape)
      }
    }
    if let layout = quantization.removeValue(forKey: stack) {
      for module in modules { quantization[module] = layout }
    }
  }

  /// Stacks the tensors of some modules, of which there is at least one.
  mutating func stack(_ modules: [String], as stack: String) throws(FormatError) {
    let layouts = modules.map { quantization.removeValue(forKey: $0) }
    for (module, layout) in zip(modules, layouts) where layout != layouts[0] {
      throw different(module, modules[0])
    }
    quantization[stack] = layouts[0]
    for part in ModuleTensor.allCases where !part.isBesideWeight {
      let tensors = modules.map { checkpoint.tensor(named: part.name(of: $0)) }
      for (module, tensor) in zip(modules, tensors)
      where tensor?.dtype != tensors[0]?.dtype || tensor?.shape != tensors[0]?.shape {
        throw different(module, modules[0])
      }
      guard let first = tensors[0] else { continue }
      let whole = TensorInfo(
        name: part.name(of: stack), dtype: first.dtype, shape: [modules.count] + first.shape)
      for tensor in tensors.compactMap(\.self) { replacements[tensor.name] = [] }
      replacements[first.name] = [whole]
      derived[whole.name] = .stack(tensors.compactMap(\.self))
    }
  }

  private func different(_ module: String, _ first: String) -> FormatError {
    FormatError(
      checkpoint.path, at: "module '\(module)'",
      .notExact(
        "MLX has one tensor for all experts of a layer; this one is not stored like '\(first)': give all the same bits and groups"
      ))
  }
}
