/// Tables that are made of other numbers as free tables.
extension Checkpoint {
  /// The same weights with a scale and a bias for each group in place of other tables that MLX has groups for.
  ///
  /// The tables of super-blocks are `F32`: every product of a factor and an integer is exact in it. Those of
  /// zero points are as in `freeingZeroPoints`.
  package func freeingTablesForMLX() -> Checkpoint {
    freeingTables { layout in
      switch layout {
      case .affine: false
      case .zeroPoint: true
      case .superBlock(let kind): CheckpointContents.groupSizesOfMLX.contains(kind.groupSize)
      }
    }
  }

  /// The same weights with a scale and a bias for each group in place of scales with zero points.
  ///
  /// Zero points that are powers of two have biases in the dtype of the scales, which holds them; others have
  /// both tables in `F32`.
  package func freeingZeroPoints() -> Checkpoint { freeingTables { $0.zeroPointGrid != nil } }

  private func freeingTables(where isFreed: (QuantizedLayout) -> Bool) -> Checkpoint {
    var contents = contents
    var derived: [String: DerivedTensor] = [:]
    var replacements: [String: [TensorInfo]] = [:]
    for (module, layout) in self.contents.quantization where isFreed(layout) {
      guard let free = freeTables(of: module, layout) else { continue }
      contents.quantization[module] = .affine(bits: layout.bits, groupSize: layout.groupSize)
      replacements.merge(free.replacements) { $1 }
      derived.merge(free.derived) { $1 }
    }
    guard !replacements.isEmpty else { return self }
    contents.tensors = contents.tensors.flatMap { replacements[$0.name] ?? [$0] }
    return deriving(contents, from: derived)
  }

  /// The tensors that take the place of a module's tables, by the names of these, and how they are made.
  private struct FreeTables {
    var replacements: [String: [TensorInfo]] = [:]
    var derived: [String: DerivedTensor] = [:]
  }

  /// The free tables of a module; nil when a tensor of its layout is missing.
  private func freeTables(of module: String, _ layout: QuantizedLayout) -> FreeTables? {
    let own = layout.partKinds.dropFirst().compactMap { tensor(named: $0.name(of: module)) }
    guard own.count == layout.partKinds.count - 1 else { return nil }
    var free = FreeTables()
    switch layout {
    case .affine: return nil
    case .zeroPoint(let grid, _, _):
      let dtype = grid == .zeroPoint ? DType.f32 : own[0].dtype
      let scales = TensorInfo(name: own[0].name, dtype: dtype, shape: own[0].shape)
      let biases = TensorInfo(name: ModuleTensor.biases.name(of: module), dtype: dtype, shape: own[0].shape)
      let zeroPoints = own.dropFirst().first
      free.replacements[own[0].name] = [scales] + (zeroPoints == nil ? [biases] : [])
      if let zeroPoints { free.replacements[zeroPoints.name] = [biases] }
      free.derived = [
        scales.name: .cast(own[0]),
        biases.name: .zeroPointBiases(layout, scales: own[0], zeroPoints: zeroPoints),
      ]
    case .superBlock(let kind):
      let (steps, factors) = (own[0], own[1])
      let blocks = (steps.shape.last ?? 0) / kind.stepByteCount
      for (table, source) in [(ModuleTensor.scales, steps), (.biases, factors)] {
        let tensor = TensorInfo(
          name: table.name(of: module), dtype: .f32,
          shape: steps.shape.dropLast() + [blocks * kind.groupCount])
        free.replacements[source.name] = [tensor]
        free.derived[tensor.name] = .blockTable(
          kind, isBias: table == .biases, steps: steps, factors: factors)
      }
    }
    return free
  }
}
