/// What the factors of Llama 3's rotary frequencies are computed from, besides the largest of them.
package struct Llama3Stretching: Sendable, Equatable {
  /// The key of the metadata in which our own files state it.
  static let key = "rilq.rope_scaling"
  /// What every published model has.
  static let published = Llama3Stretching(lowFactor: 1, highFactor: 4, originalContext: 8192)

  /// Frequencies that turn fewer times than this in the original context are divided by the whole factor.
  let lowFactor: Double
  /// Frequencies that turn more often than this are kept.
  let highFactor: Double
  /// The positions the model was first trained for.
  let originalContext: Int

  /// Names the parameters.
  package init(lowFactor: Double, highFactor: Double, originalContext: Int) {
    self.lowFactor = lowFactor
    self.highFactor = highFactor
    self.originalContext = originalContext
  }
}

extension Llama3Stretching {
  private static let keys = (
    low: "low_freq_factor", high: "high_freq_factor", context: "original_max_position_embeddings"
  )

  /// The parameters by their names in `config.json`.
  var members: [JSONValue.Member] {
    [
      JSONValue.Member(Self.keys.low, .double(lowFactor)),
      JSONValue.Member(Self.keys.high, .double(highFactor)),
      JSONValue.Member(Self.keys.context, .integer(originalContext)),
    ]
  }

  /// The text of the key.
  var json: JSONValue { .object(members) }

  /// Reads what the metadata of a file states; what is published where it states nothing.
  ///
  /// - Throws: `FormatError` when the parameters are not there or make no sense.
  init(_ keys: GGUFKeys) throws(FormatError) {
    guard let text = try keys.string(Self.key) else {
      self = .published
      return
    }
    let json = try keys.json(Self.key, text)
    guard let low = json[Self.keys.low]?.double, let high = json[Self.keys.high]?.double,
      let context = json[Self.keys.context]?.integer, low > 0, high > low, high.isFinite, context > 0
    else { throw keys.error(Self.key, .malformed("has not the three parameters of Llama 3's stretching")) }
    self.init(lowFactor: low, highFactor: high, originalContext: context)
  }
}
