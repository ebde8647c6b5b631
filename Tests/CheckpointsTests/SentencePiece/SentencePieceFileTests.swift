import Checkpoints
import Foundation
import TestSupport
import Testing

/// The bytes of protobuf messages.
private struct Message {
  private(set) var bytes: [UInt8] = []

  func varint(_ field: UInt64, _ value: UInt64) -> Message { appending(field << 3, Self.varint(value)) }

  func float(_ field: UInt64, _ value: Float) -> Message {
    appending(field << 3 | 5, withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) })
  }

  func bytes(_ field: UInt64, _ value: [UInt8]) -> Message {
    appending(field << 3 | 2, Self.varint(UInt64(value.count)) + value)
  }

  func text(_ field: UInt64, _ value: String) -> Message { bytes(field, Array(value.utf8)) }

  func piece(_ text: String, _ score: Float = 0, type: UInt64 = 1) -> Message {
    bytes(1, Message().text(1, text).float(2, score).varint(3, type).bytes)
  }

  private func appending(_ key: UInt64, _ value: [UInt8]) -> Message {
    Message(bytes: bytes + Self.varint(key) + value)
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }
  init() {}

  static func varint(_ value: UInt64) -> [UInt8] {
    var (value, bytes) = (value, [UInt8]())
    while value > 0x7F {
      bytes.append(UInt8(value & 0x7F) | 0x80)
      value >>= 7
    }
    return bytes + [UInt8(value)]
  }

  /// Unknown, begin, end and one normal piece.
  static let smallest = Message().piece("<unk>", type: 2).piece("<s>", type: 3).piece("</s>", type: 3)
    .piece("a", -1)
}

@Suite struct SentencePieceFileTests {
  private func read(_ bytes: [UInt8]) throws -> SentencePieceFile {
    try SentencePieceFile(parsing: bytes.span.bytes, path: "tokenizer.model")
  }

  private func message(_ bytes: [UInt8]) -> String {
    do {
      _ = try read(bytes)
      return "read"
    } catch {
      return "\(error)"
    }
  }

  @Test func `golden bytes`() throws {
    let bytes: [UInt8] =
      [0x0A, 0x09, 0x0A, 0x05] + Array("<unk>".utf8) + [0x18, 0x02]  // Piece 0, type 2.
      + [0x0A, 0x08, 0x0A, 0x01, 0x61, 0x15, 0x00, 0x00, 0x80, 0xBF]  // Piece 1, "a", score -1.
      + [0x12, 0x02, 0x18, 0x02]  // Trainer: BPE.
      + [0x1A, 0x06, 0x18, 0x00, 0x20, 0x00, 0x28, 0x01]  // Normalizer: no prefix, spaces kept, escaped.
    let file = try read(bytes)
    #expect(file.pieces.map(\.text) == ["<unk>", "a"])
    #expect(file.pieces.map(\.kind) == [.unknown, .normal])
    #expect(file.pieces.map(\.score) == [0, -1])
    #expect(file.method == .bytePair && file.unknownID == 0 && !file.hasByteFallback)
    #expect(!file.normalization.addsDummyPrefix && !file.normalization.removesExtraSpaces)
    #expect(file.normalization.escapesSpaces && file.normalization.rules.isEmpty)
    #expect(file.beginID == nil && file.endID == nil)
  }

  @Test func `fields that are not there have their defaults, and unknown fields are skipped`() throws {
    let file = try read(
      Message.smallest.varint(200, .max).text(201, "x").float(202, 1).bytes)
    #expect(file.method == .unigram)
    #expect(file.normalization.addsDummyPrefix && file.normalization.removesExtraSpaces)
    #expect(file.beginID == 1 && file.endID == 2 && file.paddingID == nil)
  }

  @Test func `reads what SentencePiece wrote`() throws {
    let file = try SentencePieceFile(contentsOf: Fixtures.path("sentencepiece/bpe.model"))
    #expect(file.pieces.count == 480)
    #expect(file.pieces[3].text == "[INST]" && file.pieces[3].kind == .control)
    #expect(file.pieces.compactMap(\.byte) == Array(UInt8.min...UInt8.max))
    #expect(file.hasByteFallback && file.method == .bytePair)
  }

  struct Defect: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let expected: String

    init(_ name: String, _ bytes: [UInt8], _ expected: String) {
      testDescription = name
      self.bytes = bytes
      self.expected = expected
    }
  }

  private static let tooLong = [UInt8](repeating: 0xFF, count: 9) + [0x02]

  static let defects = [
    Defect("empty", [], "0 pieces are for unknown characters"),
    Defect("cut key", [0x80], "byte 1: needs 1 bytes, 0 are left"),
    Defect("cut piece", [0x0A, 0x05, 0x0A], "byte 2: needs 5 bytes, 1 are left"),
    Defect("cut number", [0x0A, 0x02, 0x15, 0x00], "byte 3: needs 4 bytes, 1 are left"),
    Defect("long number", [0x08] + tooLong, "byte 1: the number has more than 64 bits"),
    Defect("length of 64 bits", [0x0A] + Message.varint(.max), "are left"),
    Defect("field 0", [0x02, 0x00], "byte 0: field number 0"),
    Defect("group", [0x0B], "byte 0: field 1 is of wire type 3"),
    Defect("piece that is a number", [0x08, 0x01], "byte 0: field 1: is not a text"),
    Defect("text that is not UTF-8", Message().bytes(1, [0x0A, 0x01, 0xFF]).bytes, "not UTF-8"),
    Defect("piece without text", Message().bytes(1, []).bytes, "piece 0: is empty"),
    Defect("NUL", Message().piece("a\0").bytes, "piece 0: has a NUL"),
    Defect("long piece", Message().piece(String(repeating: "a", count: 8000)).bytes, "has 8000 bytes"),
    Defect("score", Message.smallest.piece("b", .nan).bytes, "piece 4: its score is not finite"),
    Defect("type", Message.smallest.piece("b", type: 9).bytes, "piece 4 of type 9 is not supported"),
    Defect("type of 64 bits", Message.smallest.piece("b", type: .max - 9).bytes, "piece 4 of type -10"),
    Defect("type of 41 bits", Message.smallest.piece("b", type: 1 << 40).bytes, "number of 32 bits"),
    Defect("repeated piece", Message.smallest.piece("a").bytes, "piece 4: is the same as piece 3, 'a'"),
    Defect("two unknown pieces", Message.smallest.piece("b", type: 2).bytes, "2 pieces are for unknown"),
    Defect("byte without fallback", Message.smallest.piece("<0x0A>", type: 6).bytes, "1 pieces are for"),
    Defect("byte of no byte", Message.smallest.piece("<0x+A>", type: 6).bytes, "not the piece of a byte"),
    Defect(
      "fallback without bytes", Message.smallest.bytes(2, Message().varint(35, 1).bytes).bytes,
      "0 pieces are for bytes, expected 256"),
    Defect(
      "words", Message.smallest.bytes(2, Message().varint(3, 3).bytes).bytes, "model type 3 is not supported"),
    Defect("tiktoken", Array("IQ== 0\nIg== 1\n".utf8), "tiktoken"),
  ]

  @Test(arguments: defects)
  func `refuses a defect with its place`(defect: Defect) {
    let message = message(defect.bytes)
    #expect(message.hasPrefix("tokenizer.model: ") && message.contains(defect.expected), "\(message)")
  }

  @Test func `texts that only look the same are different pieces`() throws {
    #expect(try read(Message.smallest.piece("\u{E9}").piece("e\u{301}").bytes).pieces.count == 6)
  }

  @Test func `a file that is cut anywhere is refused or shorter`() throws {
    let bytes = Array(try Data(contentsOf: URL(filePath: Fixtures.path("sentencepiece/bpe-rules.model"))))
    let whole = try read(bytes)
    var refused = 0
    for count in stride(from: 0, to: bytes.count, by: 7) {
      guard let file = try? read(Array(bytes[..<count])) else {
        refused += 1
        continue
      }
      #expect(whole.pieces.starts(with: file.pieces))
    }
    #expect(refused > 500)
  }
}
