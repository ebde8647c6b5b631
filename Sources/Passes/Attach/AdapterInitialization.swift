/// The initial values of a new adapter's factors.
public enum AdapterInitialization: String, Sendable, CaseIterable {
  /// A is random and B zero: nothing changes before calibration.
  case zero
  /// The truncated singular value decomposition of the weight's error. Each further iteration rounds the
  /// weight again, less the adapter's product.
  case loftq
  /// Minimizes the output error on the inputs that a text gives.
  case qera
  /// Aligns the outputs with the original model's, then takes a step down the loss of a text.
  case atc

  /// Whether the values depend on the original weights.
  var usesTeacher: Bool { self != .zero }
  /// Whether the values depend on inputs.
  var usesText: Bool { self == .qera || self == .atc }
}
