/// The tables of super-blocks as free tables.
extension Checkpoint {
  /// The same weights with a scale and a bias for each group, `F32`, in place of those super-blocks whose
  /// groups MLX has.
  ///
  /// Every product of a factor and an integer is exact in `F32`.
  package func freeingTablesForMLX() -> Checkpoint {
    var contents = contents
    var derived: [String: DerivedTensor] = [:]
    var replacements: [String: TensorInfo] = [:]
    for (module, layout) in self.contents.quantization {
      guard let kind = layout.superBlock, CheckpointContents.groupSizesOfMLX.contains(kind.groupSize),
        let steps = tensor(named: ModuleTensor.blockSteps.name(of: module)),
        let factors = tensor(named: ModuleTensor.blockFactors.name(of: module))
      else { continue }
      contents.quantization[module] = .affine(bits: kind.bits, groupSize: kind.groupSize)
      let blocks = (steps.shape.last ?? 0) / kind.stepByteCount
      for (table, source) in [(ModuleTensor.scales, steps), (.biases, factors)] {
        let tensor = TensorInfo(
          name: table.name(of: module), dtype: .f32,
          shape: steps.shape.dropLast() + [blocks * kind.groupCount])
        replacements[source.name] = tensor
        derived[tensor.name] = .blockTable(kind, isBias: table == .biases, steps: steps, factors: factors)
      }
    }
    guard !replacements.isEmpty else { return self }
    contents.tensors = contents.tensors.map { replacements[$0.name] ?? $0 }
    return deriving(contents, from: derived)
  }
}
