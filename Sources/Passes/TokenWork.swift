import Checkpoints
import Kernels
import Models

/// The products of a model for one token, as floating-point operations.
struct TokenWork {
  /// Once through the linears of all layers, and through attention in windows of the given length.
  let layers: Double
  /// Once through the output head.
  let head: Double
  /// The second moments of the inputs of all linears, whose halves are equal.
  let moments: Double

  /// Counts what a token meets: of a layer's experts only those that it is given to.
  ///
  /// - Parameters:
  ///   - c: The hyperparameters.
  ///   - length: The number of tokens of a window.
  init(_ c: ModelConfiguration, length: Int) {
    var (layers, moments) = (0.0, 0.0)
    for layer in c.description.layers {
      var counted: Set<LinearGroupKind> = []
      for entry in layer.entries {
        guard let group = entry.group else { continue }
        let share = layer.experts?.share(of: group) ?? 1
        layers += 2 * share * Double(entry.slot.shape.reduce(1, *))
        guard let columns = entry.slot.shape.last, counted.insert(group).inserted else { continue }
        moments += share * Double(columns) * Double(columns)
      }
      // A query meets half of the window's keys and values.
      layers += 2 * Double(length) * Double(c.headCount * c.headSize)
    }
    self.layers = layers
    self.moments = moments
    head = 2 * Double(c.hiddenSize) * Double(c.vocabularySize)
  }

  /// Once through the model.
  var forward: Double { layers + head }

  /// The products of windows that the model writes.
  ///
  /// A step has one token of each window; such thin products reach about half of the speed.
  func writing(tokens: Double) -> Double { 2 * tokens * forward }
}

extension ExpertsDescription {
  /// The share of the tokens that reach a group of linears.
  fileprivate func share(of group: LinearGroupKind) -> Double {
    guard let expert = group.expert, expert < experts.count else { return 1 }
    return Double(chosenCount) / Double(experts.count)
  }
}

extension TokenWork {
  /// Counts the products of a checkpoint's model.
  ///
  /// - Throws: `FormatError` when the configuration is malformed.
  init(of checkpoint: Checkpoint, length: Int) throws {
    self.init(try ModelConfiguration(of: checkpoint), length: length)
  }
}

extension [WindowSource] {
  /// The products of the windows that the original model writes for some passes.
  func writingWork(of original: Checkpoint) throws -> WorkEstimate {
    let lengths = sampledLengths(of: original)
    guard let longest = lengths.values.max() else { return WorkEstimate() }
    let work = try TokenWork(of: original, length: longest)
    return lengths.reduce(WorkEstimate()) {
      $0 + WorkEstimate(work.writing(tokens: Double($1.value)), $1.key.products)
    }
  }
}
