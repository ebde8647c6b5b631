package import Checkpoints
package import Passes

/// What one pass of a run did.
package struct PassResult: Sendable {
  /// The name of the pass in recipes.
  package let name: String
  /// The duration in seconds.
  package let seconds: Double
  /// The maximum memory of the process up to the end of the pass, in bytes.
  package let peakMemory: Int?
  /// Whether the pass was taken over from an earlier run.
  package let isResumed: Bool
  /// The values of the pass's report that are one number, word or truth value.
  package let values: [JSONValue.Member]
  /// The options of the pass; nil when they are not recorded.
  package let options: JSONValue?
  /// The errors of quantized modules.
  package let errors: [ModuleError]
  /// The losses of a calibration.
  package let curve: CalibrationCurve?
  /// The result of a comparison.
  package let verification: VerificationResult?

  private static let ownKeys: Set<String> = ["name", "seconds", "peak_memory_bytes", "resumed"]

  /// Reads a pass.
  ///
  /// - Parameters:
  ///   - document: An element of `passes`.
  ///   - options: The pass's entry of the recipe.
  ///   - path: The path of the document, for messages.
  /// - Throws: `FormatError` without a name, or when the curve is malformed.
  init(_ document: JSONValue, options: JSONValue.Member?, path: String) throws {
    guard let name = document["name"]?.string else {
      throw FormatError(path, at: "'passes'", .missing("the 'name' of a pass"))
    }
    self.name = name
    let options = options.flatMap { $0.key == name ? $0.value : nil }
    self.options = options
    seconds = document["seconds"]?.double.flatMap { $0.isFinite ? $0 : nil } ?? 0
    peakMemory = document["peak_memory_bytes"]?.integer
    isResumed = document["resumed"]?.bool ?? false
    values = (document.object ?? []).filter { member in
      !Self.ownKeys.contains(member.key)
        && (member.value.double != nil || member.value.string != nil || member.value.bool != nil)
    }
    errors = (document["errors"]?.array ?? []).compactMap(ModuleError.init)
    let curve = document["curve"]?.array ?? []
    self.curve = curve.isEmpty ? nil : try CalibrationCurve(curve, path: path)
    verification = VerificationResult(document, text: options?["text"]?.string)
  }

  /// The options that differ from nothing, as a phrase: `method gptq, bits 2`.
  package var optionsPhrase: String {
    (options?.object ?? []).compactMap { option in
      switch option.value {
      case .number(let literal): "\(option.key) \(literal)"
      case .string(let text): "\(option.key) \(text)"
      case .bool(true): option.key
      default: nil
      }
    }.joined(separator: ", ")
  }
}

/// The quantization error of one module.
package struct ModuleError: Sendable, Equatable {
  /// The module: `model.layers.0.mlp.up_proj`.
  package let module: String
  /// The norm of the error of its weights, relative to the norm of the weights.
  package let weights: Double
  /// The norm of the error of its outputs, relative to the norm of the outputs; nil if not measured.
  package let outputs: Double?

  /// Names the errors of a module.
  package init(module: String, weights: Double, outputs: Double?) {
    self.module = module
    self.weights = weights
    self.outputs = outputs
  }

  /// Reads an element of `errors`; nil without a module or a finite error.
  init?(_ document: JSONValue) {
    guard let module = document["module"]?.string,
      let weights = document["relative_error"]?.double, weights.isFinite
    else { return nil }
    let outputs = document["relative_output_error"]?.double
    self.init(module: module, weights: weights, outputs: outputs.flatMap { $0.isFinite ? $0 : nil })
  }
}
