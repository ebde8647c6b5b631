import Checkpoints

/// Cuts a text by merging neighbours: the pair whose piece has the best score first, then the leftmost.
///
/// Takes `O(n log n)` for `n` characters; the arrays are reused for the next text.
struct SentencePieceMerger {
  /// Where each symbol begins; a symbol ends where the next one begins.
  private var starts: [Int] = []
  /// The bytes of each symbol; 0 for one that was merged into its left neighbour.
  private var lengths: [Int] = []
  /// Whether a symbol never merges.
  private var isFixed: [Bool] = []
  private var previous: [Int] = []
  private var next: [Int] = []
  /// The order of each symbol's merge with the next one, or `noOrder`.
  private var orders: [UInt32] = []
  private var queue = MergeQueue()
  /// For each unused piece that was made, the length of its left part.
  private var leftLengths: [Int32: Int] = [:]

  /// Calls `body` with each piece, in order.
  ///
  /// - Parameters:
  ///   - text: The changed text; it need not be valid UTF-8.
  ///   - vocabulary: The pieces.
  ///   - fixedPieces: The user-defined pieces.
  ///   - body: Receives the id of a piece and its bytes as offsets in the text.
  mutating func cut(
    _ text: Span<UInt8>, _ vocabulary: SentencePieceTable, _ fixedPieces: SentencePieceTrie,
    _ body: (Int32, Range<Int>) -> Void
  ) {
    start(text, vocabulary, fixedPieces)
    while let (order, position) = queue.popFirst() {
      // Queued merges whose neighbours changed since are stale.
      if orders[position] == order { merge(at: position, text, vocabulary) }
    }
    var position = starts.isEmpty ? -1 : 0
    while position >= 0 {
      emit(starts[position]..<starts[position] + lengths[position], text, vocabulary, body)
      position = next[position]
    }
  }

  private mutating func start(
    _ text: Span<UInt8>, _ vocabulary: SentencePieceTable, _ fixedPieces: SentencePieceTrie
  ) {
    starts.removeAll(keepingCapacity: true)
    lengths.removeAll(keepingCapacity: true)
    isFixed.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    next.removeAll(keepingCapacity: true)
    orders.removeAll(keepingCapacity: true)
    leftLengths.removeAll(keepingCapacity: true)
    var position = 0
    while position < text.count {
      let fixedEnd = fixedPieces.longestMatch(in: text, at: position)
      let end = fixedEnd ?? text.endOfCharacter(at: position)
      previous.append(starts.count - 1)
      starts.append(position)
      lengths.append(end - position)
      isFixed.append(fixedEnd != nil)
      next.append(end < text.count ? starts.count : -1)
      orders.append(SentencePieceTable.noOrder)
      position = end
    }
    for i in starts.indices { rankMerge(at: i, text, vocabulary) }
  }

  private mutating func merge(at position: Int, _ text: Span<UInt8>, _ vocabulary: SentencePieceTable) {
    let right = next[position]
    lengths[position] += lengths[right]
    lengths[right] = 0
    orders[right] = SentencePieceTable.noOrder
    next[position] = next[right]
    if next[right] >= 0 { previous[next[right]] = position }
    if previous[position] >= 0 { rankMerge(at: previous[position], text, vocabulary) }
    rankMerge(at: position, text, vocabulary)
  }

  private mutating func rankMerge(
    at position: Int, _ text: Span<UInt8>, _ vocabulary: SentencePieceTable
  ) {
    orders[position] = SentencePieceTable.noOrder
    let right = next[position]
    guard right >= 0, !isFixed[position], !isFixed[right] else { return }
    let range = starts[position]..<starts[position] + lengths[position] + lengths[right]
    guard let id = vocabulary.piece(text.extracting(range)) else { return }
    orders[position] = vocabulary.orders[Int(id)]
    queue.insert(rank: orders[position], position: position)
    if vocabulary.kinds[Int(id)] == .unused { leftLengths[id] = lengths[position] }
  }

  /// Reports a piece, or the parts of one that is not used.
  private func emit(
    _ range: Range<Int>, _ text: Span<UInt8>, _ vocabulary: SentencePieceTable,
    _ body: (Int32, Range<Int>) -> Void
  ) {
    var parts = [range]
    while let part = parts.popLast() {
      let id = vocabulary.id(of: text.extracting(part))
      if vocabulary.kinds[Int(id)] == .unused, let length = leftLengths[id] {
        parts.append(part.lowerBound + length..<part.upperBound)
        parts.append(part.lowerBound..<part.lowerBound + length)
      } else {
        body(id, part)
      }
    }
  }
}
