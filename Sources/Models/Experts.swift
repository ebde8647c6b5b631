import Checkpoints
import Kernels

/// The experts that tokens are sent to, and their weights.
struct ExpertRoutes: Sendable {
  /// The tokens of one expert.
  struct Expert: Sendable {
    /// The rows of the tokens, ascending.
    var tokens: [Int] = []
    /// The shares of the expert's output that the router gives to each of `tokens`.
    var shares: [Float] = []
    /// The factor of all shares.
    var factor: Float = 1

    /// The weight of the expert's output for each of `tokens`.
    var weights: [Float] { factor == 1 ? shares : shares.map { $0 * factor } }
  }

  /// The tokens of each expert; those of the network that every token uses come last.
  fileprivate(set) var experts: [Expert]
}

extension Transformer {
  /// Chooses the experts of each token.
  ///
  /// - Parameters:
  ///   - description: The experts.
  ///   - x: `[tokens, stream]`.
  ///   - layer: The layer's weights.
  ///   - environment: The context of the tokens.
  /// - Returns: The tokens of each expert.
  func routes(
    of description: ExpertsDescription, _ x: Matrix, _ layer: DecoderLayer,
    in environment: inout some LayerEnvironment
  ) -> ExpertRoutes {
    let routed = normalized(x, by: description.routing.norm, of: layer)
    let logits = description.logits(environment.product(layer[router: description.router], routed))
    let shared = description.shared.map { environment.product(layer[router: $0.gate], x) }
    return routes(of: description, logits: logits, sharedLogits: shared, layer)
  }

  /// Applies a norm of a layer, if there is one.
  private func normalized(_ x: Matrix, by norm: NormDescription?, of layer: DecoderLayer) -> Matrix {
    norm.map { layer[norm: $0](x) } ?? x
  }

  /// Chooses the experts of each token: those of the largest logits, the first ones among equals.
  ///
  /// - Parameters:
  ///   - description: The experts.
  ///   - logits: The outputs of the router, `[tokens, experts]`.
  ///   - sharedLogits: The gate of the network that every token uses, `[tokens, 1]`, if there is one.
  ///   - layer: The layer's weights.
  /// - Returns: The tokens of each expert.
  private func routes(
    of description: ExpertsDescription, logits: Matrix, sharedLogits: Matrix?, _ layer: DecoderLayer
  ) -> ExpertRoutes {
    let none = ExpertRoutes.Expert()
    var routes = ExpertRoutes(experts: [ExpertRoutes.Expert](repeating: none, count: logits.columnCount))
    for (expert, factor) in layer[vector: description.routing.expertFactors].enumerated() {
      routes.experts[expert].factor = factor
    }
    for token in 0..<logits.rowCount {
      let row = Array(logits.values[logits.row(token)])
      let chosen = row.largest(description.chosenCount)
      for (expert, share) in zip(chosen, description.shares(of: chosen, among: row)) {
        routes.experts[expert].tokens.append(token)
        routes.experts[expert].shares.append(share)
      }
    }
    if let sharedLogits {
      var weights = sharedLogits.values
      var span = weights.mutableSpan
      sigmoid(sharedLogits.values.span, into: &span)
      routes.experts.append(ExpertRoutes.Expert(tokens: Array(0..<logits.rowCount), shares: weights))
    }
    return routes
  }

  /// Computes the weighted sums of the outputs of each token's experts, expert by expert.
  ///
  /// - Parameters:
  ///   - description: The experts.
  ///   - x: `[tokens, stream]`.
  ///   - layer: The layer's weights.
  ///   - environment: The context of the tokens.
  /// - Returns: `[tokens, stream]`.
  func output(
    of description: ExpertsDescription, _ x: Matrix, _ layer: DecoderLayer,
    in environment: inout some LayerEnvironment
  ) -> Matrix {
    let routes = routes(of: description, x, layer, in: &environment)
    let x = normalized(x, by: description.norm, of: layer)
    var result = Matrix(rows: x.rowCount, columns: x.columnCount)
    for (index, expert) in routes.experts.enumerated() where !expert.tokens.isEmpty {
      let both = environment.product(layer[.expertGateAndUp(index)], x.rows(expert.tokens))
      let output = environment.product(
        layer[.expertDown(index)], gated(both, by: description.activation))
      result.add(output, to: expert.tokens, weights: expert.weights)
    }
    return result
  }

  /// Computes the input of an expert's linears for some tokens.
  ///
  /// - Parameters:
  ///   - group: The linears.
  ///   - description: The experts.
  ///   - x: The input of the operation, `[all tokens, stream]`.
  ///   - tokens: The rows of the tokens.
  ///   - layer: The layer's weights.
  /// - Returns: `[tokens, in]`.
  func input(
    of group: LinearGroupKind, _ description: ExpertsDescription, _ x: Matrix, _ tokens: [Int],
    _ layer: DecoderLayer
  ) -> Matrix {
    guard !tokens.isEmpty else { return Matrix(rows: 0, columns: layer[group].inputCount) }
    let rows = normalized(x.rows(tokens), by: description.norm, of: layer)
    guard case .expertDown(let expert) = group else { return rows }
    return gated(layer[.expertGateAndUp(expert)](rows), by: description.activation)
  }

  /// Computes the gradient of the input of experts and adds those of their trained parameters.
  ///
  /// The outputs of the experts are computed again. The gradient reaches the input through the experts and
  /// through the weights that the router gives them; which experts are chosen counts as fixed.
  ///
  /// - Parameters:
  ///   - description: The experts.
  ///   - input: The input, `[tokens, stream]`.
  ///   - dy: The gradient of the output, `[tokens, stream]`.
  ///   - layer: The layer's weights.
  ///   - gradients: Added to.
  ///   - lend: Receives each group that a token reaches, its input and the gradient of its outputs.
  /// - Returns: `[tokens, stream]`.
  func inputGradient(
    of description: ExpertsDescription, _ input: Matrix, _ dy: Matrix, _ layer: DecoderLayer,
    _ gradients: inout LayerGradients, _ lend: (LinearGroupKind, Matrix, Matrix) -> Void
  ) -> Matrix {
    let router = layer[router: description.router]
    let routed = normalized(input, by: description.routing.norm, of: layer)
    let logits = description.logits(router(routed))
    let x = normalized(input, by: description.norm, of: layer)
    let sharedGate = description.shared.map { layer[router: $0.gate] }
    let routes = routes(of: description, logits: logits, sharedLogits: sharedGate.map { $0(x) }, layer)
    var dx = Matrix(rows: x.rowCount, columns: x.columnCount)
    // The gradient of each share: one column for each of the routes' experts.
    var shareGradients = Matrix(rows: logits.rowCount, columns: routes.experts.count)
    for (index, expert) in routes.experts.enumerated() where !expert.tokens.isEmpty {
      let (inner, outer) = (
        layer.index(of: .expertGateAndUp(index)), layer.index(of: .expertDown(index))
      )
      let rows = x.rows(expert.tokens)
      let both = layer.groups[inner](rows)
      let inside = gated(both, by: description.activation)
      let output = layer.groups[outer](inside)
      var gradient = dy.rows(expert.tokens)
      for (i, token) in expert.tokens.enumerated() {
        let place = token * shareGradients.columnCount + index
        let product = dot(
          output.values.span.extracting(output.row(i)), gradient.values.span.extracting(gradient.row(i)))
        shareGradients.values[place] = expert.factor * product
      }
      gradient.multiplyRows(by: expert.weights)
      lend(.expertDown(index), inside, gradient)
      var insideGradient = Matrix.unspecified(rows: inside.rowCount, columns: inside.columnCount)
      layer.groups[outer].backward(
        x: inside, dy: gradient, gradients: &gradients.groups[outer], into: &insideGradient)
      let bothGradient = gatedBackward(both, by: description.activation, gradient: insideGradient)
      lend(.expertGateAndUp(index), rows, bothGradient)
      var rowsGradient = Matrix.unspecified(rows: rows.rowCount, columns: rows.columnCount)
      layer.groups[inner].backward(
        x: rows, dy: bothGradient, gradients: &gradients.groups[inner], into: &rowsGradient)
      dx.add(rowsGradient, to: expert.tokens, weights: nil)
    }
    if let norm = description.norm {
      layer[norm: norm].replaceGradient(input, columns: 0..<dx.columnCount, &dx)
    }
    var dLogits = description.logitGradients(shareGradients, routes, logits)
    if description.routing.factor != 1 { dLogits.multiply(by: description.routing.factor) }
    let dRouted = router.inputGradient(routed, dLogits)
    if let norm = description.routing.norm {
      layer[norm: norm].addGradient(input, dRouted, to: &dx)
    } else {
      add(dRouted, to: &dx)
    }
    if let sharedGate, let weights = routes.experts.last?.shares {
      let last = shareGradients.columnCount - 1
      let gradients = weights.indices.map { token in
        weights[token] * (1 - weights[token]) * shareGradients.values[token * (last + 1) + last]
      }
      let gradient = Matrix(rows: weights.count, columns: 1, values: gradients)
      add(sharedGate.inputGradient(x, gradient), to: &dx)
    }
    return dx
  }
}

extension LinearGroup {
  /// Computes the gradient of the input alone, `[tokens, in]`.
  fileprivate func inputGradient(_ x: Matrix, _ dy: Matrix) -> Matrix {
    var dx = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
    var none = linears.map { LinearGradients(for: $0, training: []) }
    backward(x: x, dy: dy, gradients: &none, into: &dx)
    return dx
  }
}

extension ExpertsDescription {
  /// The outputs of the router from the products of its matrix, `[tokens, experts]`.
  fileprivate func logits(_ products: consuming Matrix) -> Matrix {
    if routing.factor != 1 { products.multiply(by: routing.factor) }
    return products
  }

  /// The shares of a token's chosen experts.
  fileprivate func shares(of chosen: [Int], among logits: [Float]) -> [Float] {
    switch weighting {
    case .amongChosen: return softmaxed(chosen.map { logits[$0] })
    case .amongAll:
      let shares = softmaxed(logits)
      return chosen.map { shares[$0] }
    }
  }

  /// Computes the gradients of the router's outputs from those of the shares of chosen experts.
  ///
  /// - Parameters:
  ///   - gradients: `[tokens, experts or more]`, 0 for experts that were not chosen.
  ///   - routes: The chosen experts.
  ///   - logits: The router's outputs, `[tokens, experts]`.
  /// - Returns: `[tokens, experts]`.
  fileprivate func logitGradients(_ gradients: Matrix, _ routes: ExpertRoutes, _ logits: Matrix) -> Matrix {
    var shares = Matrix(rows: logits.rowCount, columns: logits.columnCount)
    switch weighting {
    case .amongChosen:
      for (index, expert) in routes.experts.prefix(shares.columnCount).enumerated() {
        for (token, share) in zip(expert.tokens, expert.shares) {
          shares.values[token * shares.columnCount + index] = share
        }
      }
    case .amongAll:
      for token in 0..<logits.rowCount {
        let own = softmaxed(Array(logits.values[logits.row(token)]))
        shares.values.replaceSubrange(shares.row(token), with: own)
      }
    }
    var result = Matrix(rows: logits.rowCount, columns: logits.columnCount)
    for token in 0..<logits.rowCount {
      let own = shares.values[shares.row(token)]
      let given = gradients.values[gradients.row(token)]
      let mean = zip(own, given).reduce(Float(0)) { $0 + $1.0 * $1.1 }
      result.values.replaceSubrange(result.row(token), with: zip(own, given).map { $0 * ($1 - mean) })
    }
    return result
  }
}

/// Exponentials that add up to 1.
private func softmaxed(_ logits: [Float]) -> [Float] {
  var shares = logits
  var span = shares.mutableSpan
  softmax(&span, validCount: logits.count)
  return shares
}

extension [Float] {
  /// The indices of the largest values, the largest first; among equals the first one comes first.
  fileprivate func largest(_ count: Int) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count + 1)
    for index in indices {
      var place = chosen.count
      while place > 0, self[index].isLarger(than: self[chosen[place - 1]]) { place -= 1 }
      guard place < count else { continue }
      chosen.insert(index, at: place)
      if chosen.count > count { chosen.removeLast() }
    }
    return chosen
  }
}

extension Float {
  /// Whether the value comes before another one; what is not a number comes first, so that it is not lost.
  fileprivate func isLarger(than other: Float) -> Bool { self > other || (isNaN && !other.isNaN) }
}

extension Matrix {
  /// A copy of some rows, in the order given.
  fileprivate func rows(_ rows: [Int]) -> Matrix {
    var result = Matrix.unspecified(rows: rows.count, columns: columnCount)
    for (i, row) in rows.enumerated() {
      result.values.replaceSubrange(result.row(i), with: values[self.row(row)])
    }
    return result
  }

  /// Multiplies each row by its own factor.
  fileprivate mutating func multiplyRows(by factors: [Float]) {
    for (i, factor) in factors.enumerated() {
      for j in row(i) { values[j] *= factor }
    }
  }

  /// Adds the rows of another matrix to some rows of this one, each once.
  fileprivate mutating func add(_ other: Matrix, to rows: [Int], weights: [Float]?) {
    let columnCount = columnCount
    var span = values.mutableSpan
    for (i, row) in rows.enumerated() {
      var target = span.slice(row * columnCount..<(row + 1) * columnCount)
      addScaled(
        other.values.span.extracting(other.row(i)), scale: weights.map { $0[i] } ?? 1, to: &target)
    }
  }
}
