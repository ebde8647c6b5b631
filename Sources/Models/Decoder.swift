import Checkpoints
package import Kernels

/// Computes a model token by token, for one sequence or for several in one batch.
///
/// Keys and values of earlier tokens are cached, so that each token is computed once.
package struct Decoder: Sendable {
  /// How products with weights are computed.
  package enum Products: Sendable {
    /// Uses the fastest method for the number of tokens.
    case fastest
    /// As `fastest`, but packed weights are multiplied with single tokens rounded to int8, and keys and values
    /// are rounded to bf16 if this processor multiplies it faster.
    case int8
    /// Keeps a token's logits independent of the other tokens in the batch, bit for bit.
    case independent
  }

  /// The number of prompt tokens that are computed together.
  static let promptBlock = 256

  private let model: Transformer
  private let capacity: Int
  private var sequences: SequenceEnvironment
  /// The tokens of each sequence, if its length decides how the model turns queries and keys.
  private var tokens: [[Int32]]?
  /// The rotary tables of an empty sequence.
  private let shortTables: RotaryTables
  /// An empty sequence.
  private let empty: KeyValueCache

  /// Creates empty sequences.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - slots: The number of sequences held at the same time.
  ///   - capacity: The maximum number of tokens of a sequence.
  ///   - products: How products are computed.
  package init(_ model: Transformer, slots: Int = 1, capacity: Int, products: Products = .fastest) {
    self.model = model
    self.capacity = capacity
    shortTables = RotaryTables(model.configuration, positionCount: capacity, sequenceLength: 1)
    empty = KeyValueCache(
      windows: KeyValueCache.windows(model.configuration), tokens: capacity,
      operands: products == .int8 ? .bf16 : model.operands)
    sequences = SequenceEnvironment(
      products: products, tables: [RotaryTables](repeating: shortTables, count: slots),
      caches: [KeyValueCache](repeating: empty, count: slots))
    if model.configuration.turnsByLength(upTo: capacity) {
      tokens = [[Int32]](repeating: [], count: slots)
    }
  }

  /// Removes the tokens of a slot, so that it can hold another sequence.
  package mutating func clear(_ slot: Int) {
    sequences.caches[slot] = empty
    sequences.tables[slot] = shortTables
    tokens?[slot] = []
  }

  /// Reads the first tokens of a sequence.
  ///
  /// - Parameters:
  ///   - tokens: At least one token.
  ///   - slot: The sequence.
  /// - Returns: The logits of the next token, `[1, vocabulary]`.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package mutating func read(_ tokens: [Int32], slot: Int = 0) throws -> Matrix {
    precondition(!tokens.isEmpty, "there is no token to begin with")
    var logits = Matrix(rows: 0, columns: 0)
    for block in blocks(of: tokens.count) {
      let hidden = try extend([Addition(slot: slot, tokens: Array(tokens[block]))])
      if block.upperBound == tokens.count { logits = self.logits(lastRows(of: hidden)) }
    }
    return logits
  }

  /// Reads tokens of the first sequence, after those already read.
  ///
  /// The model's queries and keys must turn alike at every length of the sequence.
  ///
  /// - Parameter tokens: At least one token.
  /// - Returns: The hidden states after the final norm, `[tokens, hidden]`.
  /// - Throws: `ModelError.tokenOutOfRange`.
  mutating func finalHidden(_ tokens: [Int32]) throws -> Matrix {
    precondition(self.tokens == nil, "the length of a sequence changes its earlier tokens")
    var values: [Float] = []
    for block in blocks(of: tokens.count) {
      values += try model.finalNorm(extend([Addition(slot: 0, tokens: Array(tokens[block]))])).values
    }
    return Matrix(rows: tokens.count, columns: model.configuration.hiddenSize, values: values)
  }

  /// The tokens that are read together.
  private func blocks(of count: Int) -> [Range<Int>] {
    let size = tokens == nil ? Self.promptBlock : count
    return stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
  }

  /// Adds one token to each of several sequences.
  ///
  /// - Parameters:
  ///   - tokens: The tokens.
  ///   - slots: Their sequences, each once.
  /// - Returns: The logits of the next tokens, `[tokens, vocabulary]`.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package mutating func append(_ tokens: [Int32], slots: [Int]) throws -> Matrix {
    precondition(tokens.count == slots.count, "\(tokens.count) tokens for \(slots.count) sequences")
    // Not inlined as the argument of `logits`: that would keep a copy of this decoder alive, and every key
    // and value would be copied on write.
    let hidden = try extend(zip(slots, tokens).map { Addition(slot: $0, tokens: [$1]) })
    return logits(lastRows(of: hidden))
  }

  /// The bytes of the kept keys and values of a sequence, with its states.
  package func cachedByteCount(slot: Int = 0) -> Int {
    sequences.caches[slot].layers.reduce(0) { $0 + $1.storage.byteCount + 4 * $1.state.count }
  }

  private func logits(_ hidden: Matrix) -> Matrix {
    model.finished(logits: sequences.product(model.head, model.finalNorm(hidden)))
  }
}

extension Decoder {
  /// The new tokens of one sequence.
  private struct Addition {
    let slot: Int
    let tokens: [Int32]
  }

  /// Runs new tokens through all layers.
  ///
  /// - Returns: The residual stream at each new token, one sequence after the other.
  private mutating func extend(_ additions: [Addition]) throws -> Matrix {
    let additions = additions.map { repeated($0) }
    let tokens = additions.flatMap(\.tokens)
    var hidden = try model.embed(tokens)
    sequences.layerInputs = model.layerInputs?(tokens, hidden)
    sequences.pieces = pieces(of: additions)
    for (index, layer) in model.layers.enumerated() {
      sequences.layer = index
      model.run(layer, &hidden, in: &sequences)
    }
    for piece in sequences.pieces { sequences.caches[piece.slot].tokenCount += piece.rows.count }
    return hidden
  }

  /// The rows of the last new token of each sequence.
  private func lastRows(of hidden: Matrix) -> Matrix { hidden.lastRows(of: sequences.pieces.map(\.rows)) }

  /// Returns what has to be computed for new tokens: the tokens, or their whole sequence when its new length
  /// turns the earlier queries and keys differently.
  private mutating func repeated(_ addition: Addition) -> Addition {
    guard let known = tokens?[addition.slot] else { return addition }
    let all = known + addition.tokens
    tokens?[addition.slot] = all
    guard model.configuration.turns(ofLength: max(known.count, 1), differFrom: all.count) else {
      return addition
    }
    sequences.tables[addition.slot] = RotaryTables(
      model.configuration, positionCount: capacity, sequenceLength: all.count)
    sequences.caches[addition.slot] = empty
    return Addition(slot: addition.slot, tokens: all)
  }

  private func pieces(of additions: [Addition]) -> [SequencePiece] {
    var row = 0
    return additions.map { addition in
      defer { row += addition.tokens.count }
      return SequencePiece(
        slot: addition.slot, rows: row..<row + addition.tokens.count,
        firstPosition: sequences.caches[addition.slot].tokenCount)
    }
  }
}

/// The rows of one sequence's tokens among all new tokens.
private struct SequencePiece: Sendable {
  let slot: Int
  let rows: Range<Int>
  let firstPosition: Int
}

/// The environment of new tokens whose earlier keys and values are cached.
private struct SequenceEnvironment: LayerEnvironment, Sendable {
  let products: Decoder.Products
  /// The rotary tables of each slot.
  var tables: [RotaryTables]
  var caches: [KeyValueCache]
  /// The rows of each sequence.
  var pieces: [SequencePiece] = []
  /// The index of the current layer.
  var layer = 0
  /// The inputs of the layers beside the stream for the new tokens; nil without them.
  var layerInputs: Matrix?
  var held: Matrix?

  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix {
    guard products != .independent, x.rowCount == 1 else { return group(x) }
    return group.outputs(ofSingle: x, isRounded: products == .int8)
  }

  /// Rotates queries and keys by the positions of the tokens in their sequences.
  func turn(_ queriesKeysValues: inout Matrix, _ description: RotaryDescription) {
    let columns = queriesKeysValues.columnCount
    var values = queriesKeysValues.values.mutableSpan
    for piece in pieces {
      let rotary = tables[piece.slot][description]
      for (i, row) in piece.rows.enumerated() {
        var heads = values.slice(row * columns..<(row + 1) * columns)
        rotary.turn(&heads, position: piece.firstPosition + i)
      }
    }
  }

  mutating func attend(_ queriesKeysValues: Matrix, _ attention: Attention) -> Matrix {
    var layer = layer
    if case .borrows(let lender, _) = attention.description.sharing {
      layer = lender
    } else {
      keep(queriesKeysValues, attention.description)
    }
    return attention.forward(
      queriesKeysValues,
      over: pieces.map {
        CachedQueries(
          rows: $0.rows, firstPosition: $0.firstPosition, cache: caches[$0.slot].layers[layer])
      })
  }

  mutating func recur(_ x: Matrix, _ recurrence: some Recurrence) -> Matrix {
    var values: [Float] = []
    values.reserveCapacity(x.rowCount * recurrence.outputWidth)
    for piece in pieces {
      let result = recurrence.forward(x.rows(piece.rows), state: &caches[piece.slot].layers[layer].state)
      values += result.values
    }
    return Matrix(rows: x.rowCount, columns: recurrence.outputWidth, values: values)
  }

  func multiply(_ x: Matrix, byLayerInput columns: Range<Int>, of model: Transformer) -> Matrix {
    guard let layerInputs else { preconditionFailure("the layers get inputs beside the stream") }
    return x.multiplied(byColumns: columns, of: layerInputs)
  }

  /// Caches the keys and values of the new tokens.
  private mutating func keep(_ qkv: Matrix, _ attention: AttentionDescription) {
    let (start, width) = (attention.queryWidth, attention.keyValueWidth)
    for piece in pieces {
      caches[piece.slot].layers[layer].reserve(
        piece.firstPosition..<piece.firstPosition + piece.rows.count, width: width)
      for (i, row) in piece.rows.enumerated() {
        let keys = row * qkv.columnCount + start
        caches[piece.slot].layers[layer].set(
          piece.firstPosition + i, keys: qkv.values.span.extracting(keys..<keys + width),
          values: qkv.values.span.extracting(keys + width..<keys + 2 * width))
      }
    }
  }
}

extension Matrix {
  /// The last row of each range.
  fileprivate func lastRows(of ranges: [Range<Int>]) -> Matrix {
    guard ranges.count < rowCount else { return self }
    return Matrix(
      rows: ranges.count, columns: columnCount,
      values: ranges.flatMap { values[row($0.upperBound - 1)] })
  }
}
