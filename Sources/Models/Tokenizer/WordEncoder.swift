/// Turns words into tokens and remembers the words, or the parts of words, already encoded.
struct WordEncoder {
  /// The limits of the memory: words of a text are short, and few of them are frequent.
  private static let rememberedCount = 1 << 17
  private static let rememberedLength = 256

  private let model: BytePairModel
  private var words = ByteStringTable()
  private var tokens: [Int32] = []
  private var ends: [Int] = [0]
  private var merger = PairMerger()

  /// Starts with an empty memory.
  init(_ model: BytePairModel) { self.model = model }

  /// Appends the tokens of a word.
  ///
  /// - Parameters:
  ///   - word: Not empty.
  ///   - output: The tokens are appended to it.
  mutating func append(_ word: Span<UInt8>, to output: inout [Int32]) {
    guard let joints = model.joints else { return appendPart(word, isWhole: true, to: &output) }
    if let token = model.wholeToken(of: word) { return output.append(token) }
    var start = 0
    while start < word.count {
      let end = model.endOfPart(of: word, from: start, joints)
      appendPart(word.extracting(start..<end), isWhole: false, to: &output)
      start = end
    }
  }

  private mutating func appendPart(_ part: Span<UInt8>, isWhole: Bool, to output: inout [Int32]) {
    if let index = words.index(of: part) {
      for i in ends[index]..<ends[index + 1] { output.append(tokens[i]) }
      return
    }
    let start = output.count
    if isWhole, let token = model.wholeToken(of: part) {
      output.append(token)
    } else {
      merger.append(part, model, to: &output)
    }
    guard words.count < Self.rememberedCount, part.count <= Self.rememberedLength else { return }
    _ = words.insert(part)
    tokens.append(contentsOf: output[start...])
    ends.append(tokens.count)
  }
}

/// Merges one word, with a linked list of tokens and a queue of possible merges.
///
/// Takes `O(n log n)` for a word of `n` bytes or characters; the arrays are reused for the next word.
private struct PairMerger {
  private var symbols: [Int32] = []
  private var previous: [Int] = []
  private var next: [Int] = []
  /// The rank of each symbol's merge with the next one; also `none` for symbols that were merged away.
  private var ranks: [UInt32] = []
  private var queue = MergeQueue()

  mutating func append(_ word: Span<UInt8>, _ model: BytePairModel, to output: inout [Int32]) {
    start(word, model)
    while let (rank, position) = queue.popFirst() {
      // Queued merges whose neighbours changed since are stale.
      if ranks[position] == rank { merge(at: position, into: model.merges.merged[Int(rank)], model.merges) }
    }
    var position = symbols.isEmpty ? -1 : 0
    while position >= 0 {
      output.append(symbols[position])
      position = next[position]
    }
  }

  private mutating func start(_ word: Span<UInt8>, _ model: BytePairModel) {
    symbols.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    next.removeAll(keepingCapacity: true)
    ranks.removeAll(keepingCapacity: true)
    model.appendSymbols(of: word, to: &symbols)
    for i in symbols.indices {
      previous.append(i - 1)
      next.append(i + 1 < symbols.count ? i + 1 : -1)
      ranks.append(MergeTable.none)
      rankMerge(at: i, model.merges)
    }
  }

  private mutating func merge(at position: Int, into token: Int32, _ merges: MergeTable) {
    let right = next[position]
    symbols[position] = token
    ranks[right] = MergeTable.none
    next[position] = next[right]
    if next[right] >= 0 { previous[next[right]] = position }
    rankMerge(at: position, merges)
    if previous[position] >= 0 { rankMerge(at: previous[position], merges) }
  }

  private mutating func rankMerge(at position: Int, _ merges: MergeTable) {
    ranks[position] = MergeTable.none
    guard next[position] >= 0 else { return }
    ranks[position] = merges.rank(symbols[position], symbols[next[position]])
    if ranks[position] != MergeTable.none { queue.insert(rank: ranks[position], position: position) }
  }
}

/// A binary heap of merges, lowest rank first, then leftmost.
struct MergeQueue {
  /// The rank above 40 bits of position; memory never holds that many positions.
  private var keys: [UInt64] = []
  private static let positionBits: UInt64 = 40

  mutating func insert(rank: UInt32, position: Int) {
    keys.append(UInt64(rank) << Self.positionBits | UInt64(position))
    var child = keys.count - 1
    while child > 0, keys[child] < keys[(child - 1) / 2] {
      keys.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func popFirst() -> (rank: UInt32, position: Int)? {
    guard let key = keys.first, let last = keys.popLast() else { return nil }
    if !keys.isEmpty {
      keys[0] = last
      sink()
    }
    return (UInt32(key >> Self.positionBits), Int(key & (1 << Self.positionBits - 1)))
  }

  private mutating func sink() {
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < keys.count && keys[child] < keys[least] {
        least = child
      }
      if least == parent { return }
      keys.swapAt(parent, least)
      parent = least
    }
  }
}
