package import Checkpoints

/// The rotary tables of a model's layers, for sequences up to a length.
package struct RotaryTables: Sendable {
  private let tables: [(description: RotaryDescription, embedding: RotaryEmbedding)]

  /// Tabulates positions `0..<positionCount` for every kind of layer.
  ///
  /// - Parameters:
  ///   - configuration: The hyperparameters.
  ///   - positionCount: The number of positions.
  ///   - sequenceLength: The length of the sequence that decides the wavelengths; nil for `positionCount`.
  package init(_ configuration: ModelConfiguration, positionCount: Int, sequenceLength: Int? = nil) {
    tables = configuration.rotaryDescriptions.map {
      ($0, RotaryEmbedding($0, positionCount: positionCount, sequenceLength: sequenceLength))
    }
  }

  /// The table of a layer.
  package subscript(description: RotaryDescription) -> RotaryEmbedding {
    guard let table = tables.first(where: { $0.description == description }) else {
      preconditionFailure("no layer turns so")
    }
    return table.embedding
  }
}
