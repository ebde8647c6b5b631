/// What the factors of a new adapter begin with.
public enum AdapterInitialization: String, Sendable, CaseIterable {
  /// A is random and B zero: nothing changes before calibration.
  case zero
  /// The truncated singular value decomposition of the error of the weight; after the first of several iterations the weight is
  /// rounded again, without what the adapter holds.
  case loftq
  /// The least output error on the inputs that a text gives.
  case qera
  /// What aligns outputs with the original model's and then takes a step down the loss of a text.
  case atc

  /// Whether it depends on the original weights.
  var usesTeacher: Bool { self != .zero }
  /// Whether it depends on inputs.
  var usesText: Bool { self == .qera || self == .atc }
}
