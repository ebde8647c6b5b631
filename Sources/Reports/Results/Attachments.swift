import Checkpoints

/// What `rilq eval --json` measured.
package struct EvaluationResult: Sendable {
  /// The name of the document's file.
  package let name: String
  /// The perplexity of the checkpoint.
  package let perplexity: Double
  /// The perplexity of the reference.
  package let referencePerplexity: Double?
  /// The mean Kullback-Leibler divergence from the reference, in nats per token.
  package let meanKL: Double?
  /// The share of tokens for which both rank the same token first.
  package let top1Agreement: Double?
  /// The number of scored tokens.
  package let tokensScored: Int?

  /// Reads a document; nil when it is none of `eval`.
  init?(_ document: JSONValue, name: String) {
    guard let perplexity = document["perplexity"]?.double, document["nll_per_token"] != nil else {
      return nil
    }
    self.name = name
    self.perplexity = perplexity
    referencePerplexity = document["reference_perplexity"]?.double
    meanKL = document["mean_kl"]?.double
    top1Agreement = document["top1_agreement"]?.double
    tokensScored = document["tokens_scored"]?.integer
  }
}

/// What `rilq analyze --json` measured.
package struct AnalysisResult: Sendable {
  /// The errors of one linear.
  package struct Linear: Sendable {
    /// The part of its name after the last dot.
    package let kind: String
    /// The error of its weights and outputs.
    package let error: ModuleError
    /// The singular values of the error, largest first.
    package let singularValues: [Double]
  }

  /// The linears of the layers.
  package let linears: [Linear]
  /// The distance of the residual streams after each layer, relative to the reference's.
  package let layers: [Double]

  /// Reads a document; nil when it is none of `analyze`.
  init?(_ document: JSONValue) {
    guard let linears = document["linears"]?.array, document["energy_shares"] != nil else { return nil }
    self.linears = linears.compactMap { linear in
      guard let name = linear["name"]?.string, let error = linear["relative_error"]?.double, error.isFinite
      else { return nil }
      return Linear(
        kind: linear["kind"]?.string ?? name,
        error: ModuleError(
          module: name, weights: error, outputs: linear["output_error"]?["svd"]?.array?.first?.double),
        singularValues: (linear["singular_values"]?.array ?? []).compactMap(\.double))
    }
    layers = (document["layers"]?.array ?? []).compactMap { $0["relative_error"]?.double }
  }

  /// The means of the singular values by kind of linear, each divided by the largest.
  var spectra: [(kind: String, values: [Double])] {
    var kinds: [String] = []
    var members: [String: [[Double]]] = [:]
    for linear in linears {
      guard let largest = linear.singularValues.first, largest > 0 else { continue }
      if members[linear.kind] == nil { kinds.append(linear.kind) }
      members[linear.kind, default: []].append(linear.singularValues.map { $0 / largest })
    }
    return kinds.map { kind in
      let all = members[kind] ?? []
      let length = all.map(\.count).min() ?? 0
      return (kind, (0..<length).map { i in all.reduce(0) { $0 + $1[i] } / Double(all.count) })
    }
  }
}
