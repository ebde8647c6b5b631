import Kernels

/// What mlx-lm's program of a family computes, as far as it is less than the family's computation.
///
/// Source: mlx-lm 0.32, `models/`.
package struct MLXProgram: Sendable {
  /// How the program knows which layers have a window.
  package enum Windows: Sendable {
    /// It computes no windows.
    case none
    /// `layer_types` names each layer; at least one must see everything.
    case layerTypes
    /// Every layer but the last of `sliding_window_pattern` has one.
    case pattern
  }

  /// Which output heads the program knows.
  package enum Heads: Sendable {
    case any
    case embeddingOnly
    case ownOnly
  }

  /// Which scalings of the wavelengths the program knows.
  package enum Scalings: Sendable {
    case none
    /// All but two: `longrope`, of which it uses the long divisors only, and unrounded bounds of `yarn`.
    case common
    /// `longrope`, of which it uses the long divisors only, and `linear`.
    case phi3
    /// `proportional` and `linear`.
    case proportional
  }

  /// Where the program finds the wavelengths.
  package enum RotaryKeys: Sendable {
    /// `rope_theta` and `rope_scaling`.
    case outer
    /// `rope_parameters`, also without a scaling.
    case parameters
    /// An object for each kind of layer in `rope_parameters`.
    case parametersByKind
  }

  /// Which linears have a bias.
  package enum Biases: Sendable {
    /// Those that the configuration describes.
    case described
    /// None.
    case none
    /// All, and all norms that can have one.
    case all
  }

  /// How it knows which layers have a window.
  package var windows = Windows.none
  /// The output heads that it knows.
  package var heads = Heads.any
  /// The scalings that it knows.
  package var scalings = Scalings.common
  /// The linears with a bias.
  package var biases = Biases.described
  /// Whether heads can be wider or narrower than the stream's width over the heads.
  package var readsHeadSize = true
  /// Whether it bounds logits, and scores where the family does: always, never, or as the family.
  package var boundsLogits: Bool?
  /// The width inside the feed-forward part over that of the stream, if it is fixed.
  package var feedForwardFactor: Int?
  /// Whether modules have other names while it runs, so that no module can be packed in a way of its own.
  package var renamesModules = false
  /// The prefixes of modules that it finds in a model inside a larger one; empty if any prefix does.
  package var nestedPrefixes: [String] = []
  /// Whether it knows the model inside a larger one only.
  package var isNested = false
  /// Where it finds the wavelengths.
  package var rotaryKeys = RotaryKeys.outer
  /// The key of the base of the wavelengths.
  package var thetaKey = "rope_theta"
  /// The key of the base of the wavelengths of layers with a window, if it is another one.
  package var windowedThetaKey: String?
  /// The key of the share of a head that turns; nil if the program turns whole heads.
  package var shareKey: String?
  /// The only bound of clamped gates that it computes, if it computes them.
  package var gateLimit: Float?
  /// Keys that it reads, with the key that newer configurations have in their place.
  package var aliases: [(key: String, alias: String)] = []
  /// Keys that it requires, or assumes otherwise, with what the family assumes.
  package var assumptions: [JSONValue.Member] = []
  /// Keys that follow from a model's description and replace those that are there.
  ///
  /// Throws `MLXObstacle` when no value of the keys describes the model.
  package var settings: @Sendable (ModelConfiguration) throws(MLXObstacle) -> [JSONValue.Member] = { _ in [] }

  /// A program that computes what Llama's does.
  package init(_ change: (inout MLXProgram) -> Void = { _ in }) { change(&self) }
}

/// What keeps mlx-lm from computing a model as it is.
package struct MLXObstacle: Error, Equatable {
  /// The key or tensor, with its kind, as in `key 'sliding_window'`.
  package let place: String
  /// What mlx-lm's program does instead; follows its name.
  package let reason: String

  /// Joins a place and a reason.
  package init(_ place: String, _ reason: String) {
    self.place = place
    self.reason = reason
  }
}
