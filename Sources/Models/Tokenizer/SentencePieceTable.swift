import Checkpoints

/// The pieces of a SentencePiece model, by text and by id.
struct SentencePieceTable: Sendable {
  /// The order that means that two neighbours do not merge.
  static let noOrder = UInt32.max

  /// The pieces that a text is cut into: normal, user-defined and unused ones.
  private var pieces = ByteStringTable()
  private var pieceIDs: [Int32] = []
  /// The other pieces: control, unknown and bytes.
  private var reserved = ByteStringTable()
  private var reservedIDs: [Int32] = []

  /// What each piece stands for.
  let kinds: [SentencePiece.Kind]
  /// The score of each piece.
  let scores: [Float]
  /// The place of each piece when they are sorted by score, the best one first; equal scores have one place.
  let orders: [UInt32]
  /// The piece of characters that have no piece.
  let unknownID: Int32
  /// The piece of each byte; nil without byte fallback.
  let byteIDs: [Int32]?

  /// Takes the pieces of a model.
  init(_ file: SentencePieceFile) {
    kinds = file.pieces.map(\.kind)
    scores = file.pieces.map(\.score)
    orders = Self.orders(of: scores)
    unknownID = Int32(file.unknownID)
    var byteIDs = [Int32](repeating: unknownID, count: 256)
    for (id, piece) in file.pieces.enumerated() {
      if let byte = piece.byte { byteIDs[Int(byte)] = Int32(id) }
      let text = Array(piece.text.utf8)
      switch piece.kind {
      case .normal, .userDefined, .unused:
        _ = pieces.insert(text.span)
        pieceIDs.append(Int32(id))
      case .control, .unknown, .byte:
        _ = reserved.insert(text.span)
        reservedIDs.append(Int32(id))
      }
    }
    self.byteIDs = file.hasByteFallback ? byteIDs : nil
  }

  private static func orders(of scores: [Float]) -> [UInt32] {
    var orders = [UInt32](repeating: 0, count: scores.count)
    var order: UInt32 = 0
    var previous: Float?
    for id in scores.indices.sorted(by: { scores[$0] > scores[$1] }) {
      if let previous, previous != scores[id] { order += 1 }
      previous = scores[id]
      orders[id] = order
    }
    return orders
  }

  /// Returns the piece that a text is cut into, or nil if there is none with this text.
  func piece(_ text: Span<UInt8>) -> Int32? { pieces.index(of: text).map { pieceIDs[$0] } }

  /// Returns the id of any piece, or that of unknown characters.
  func id(of text: Span<UInt8>) -> Int32 {
    if let index = reserved.index(of: text) { return reservedIDs[index] }
    return piece(text) ?? unknownID
  }
}
