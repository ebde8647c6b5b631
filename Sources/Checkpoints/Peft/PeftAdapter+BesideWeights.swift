/// An adapter that stays beside the weights of a checkpoint, with one kind, one rank and one alpha for all
/// modules.
extension PeftAdapter {
  /// The name in a checkpoint for a tensor of the file.
  func checkpointName(_ fileName: String) -> String {
    naming.inCheckpoint(String(fileName.dropFirst(PeftTensorName.prefix.count)))
  }

  /// What the tensors mean, if that is the same for all modules.
  ///
  /// PEFT's QA-LoRA multiplies the mean of a group by the number of groups, which is the number of columns of
  /// A. So the alpha in the file is ours divided by that number.
  ///
  /// - Parameter pooling: The convention of a pooled adapter; with `.qaLora` the adapter is pooled, whatever
  ///   the configuration says.
  /// - Returns: Kind, rank and alpha.
  /// - Throws: `FormatError` when modules differ, or the adapter has more than A and B.
  package func parameters(_ pooling: PoolingConvention = .peft) throws(FormatError) -> AdapterParameters {
    try refuseMore()
    let isPooled = groupSize != nil || pooling == .qaLora
    var common: AdapterParameters?
    for module in modules.sorted(by: { precedes($0.name, $1.name) }) {
      let factor = isPooled && pooling == .peft ? Double(module.loraA.shape[1]) : 1
      let own = AdapterParameters(
        kind: isPooled ? .pooled : .dense, rank: module.rank, alpha: module.alpha * factor)
      try check(own, module.name, against: common ?? own)
      if common == nil { common = own }
    }
    // Our own files state alpha itself beside its quotients, which were rounded.
    guard var common else { throw FormatError(file.path, .missing("the tensors of the adapter")) }
    if isClose(common.alpha, configuration.alpha) { common.alpha = configuration.alpha }
    return common
  }

  /// Refuses parts that cannot stay beside the weights.
  private func refuseMore() throws(FormatError) {
    if let replacement = replacements.first {
      throw FormatError(
        file.path, at: "tensor '\(replacement.tensor.name)'",
        .unsupported("replaces a tensor of the base, which only merging does"))
    }
    let reason: String? =
      if configuration.usesDora {
        "use_dora"
      } else if configuration.hasLoraBias {
        "lora_bias"
      } else if configuration.isFanInFanOut {
        "fan_in_fan_out"
      } else if modules.contains(where: \.isEmbedding) {
        "target_modules"
      } else {
        nil
      }
    guard let reason else { return }
    throw FormatError(
      configuration.path, at: "key '\(reason)'",
      .unsupported("such an adapter cannot stay beside the weights; 'rilq merge BASE ADAPTER OUT' merges it"))
  }

  private func check(
    _ own: AdapterParameters, _ module: String, against common: AdapterParameters
  ) throws(FormatError) {
    guard own.rank == common.rank else {
      throw FormatError(
        configuration.path, at: "module '\(module)'",
        .unsupported("rank \(own.rank) where other modules have \(common.rank)"))
    }
    guard isClose(own.alpha, common.alpha) else {
      throw FormatError(
        configuration.path, at: "module '\(module)'",
        .unsupported("alpha \(own.alpha) where other modules have \(common.alpha)"))
    }
  }

  /// Checks that a pooled adapter has the same groups as its modules.
  func checkGroups(_ quantization: [String: QuantizedLayout]) throws(FormatError) {
    guard let groupSize else { return }
    for module in modules {
      guard let parameters = quantization[module.name], parameters.groupSize != groupSize else { continue }
      throw FormatError(
        file.path, at: "tensor '\(checkpointName(module.loraA.name))'",
        .malformed("pools groups of \(groupSize) columns, the module's groups are of \(parameters.groupSize)")
      )
    }
  }
}

/// How A of a pooled adapter is applied to the means of its groups.
public enum PoolingConvention: String, Sendable, CaseIterable {
  /// PEFT's: A is applied to the means times the number of groups.
  case peft
  /// The original repository's: A is applied to the means.
  case qaLora = "qa-lora"
}

/// Whether two numbers are equal up to one more rounding, because a quotient does not multiply back exactly.
private func isClose(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-12 * abs(b) }
