/// The tensors of a quantized checkpoint that tell a runtime how to round what is no weight.
///
/// This library rounds no inputs, outputs, keys or values, so that it leaves them out.
enum RuntimeScales {
  private static let endings = [
    ".input_scale", ".input_scale_ub", ".input_zero_point", ".activation_scale", ".input_global_scale",
    ".output_scale", ".output_zero_point", ".k_scale", ".v_scale",
  ]

  /// Whether a tensor is one of them.
  static func contains(_ tensor: TensorInfo) -> Bool { endings.contains { tensor.name.hasSuffix($0) } }

  /// What to tell about those of a folder; nil when it has none.
  static func notice(of tensors: [TensorInfo]) -> String? { notice(count: tensors.count(where: contains)) }

  /// What to tell about a number of them; nil for none.
  static func notice(count: Int) -> String? {
    guard count > 0 else { return nil }
    return
      "\(count) scale\(count == 1 ? "" : "s") of inputs, keys and values left out: rilq does not round them"
  }
}
