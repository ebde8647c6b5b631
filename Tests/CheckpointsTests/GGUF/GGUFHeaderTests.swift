import Checkpoints
import Foundation
import TestSupport
import Testing

struct GGUFHeaderTests {
  /// One key of every kind, and two tensors.
  static let golden: [UInt8] = [
    0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0,  // "GGUF", version 3
    2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,  // 2 tensors, 3 keys
    1, 0, 0, 0, 0, 0, 0, 0, 0x61, 4, 0, 0, 0, 7, 0, 0, 0,  // a: u32 7
    1, 0, 0, 0, 0, 0, 0, 0, 0x62, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xC3, 0xA9,  // b: "é"
    1, 0, 0, 0, 0, 0, 0, 0, 0x63, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0xFF,  // c: i8 [5, -1]
    1, 0, 0, 0, 0, 0, 0, 0, 0x74, 2, 0, 0, 0,  // t: 2 dimensions
    1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,  // 1 column, 2 rows
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // F32 at 0
    1, 0, 0, 0, 0, 0, 0, 0, 0x75, 1, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0,  // u: 32 columns
    8, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0,  // Q8_0 at 32
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // up to byte 192
    0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0,  // 1, 2
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0x3C, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27,
    28, 29, 30, 31, 32,  // a scale of 1, then 32 codes
  ]

  @Test func `reads a file byte by byte`() throws {
    let header = try GGUFHeader(Self.golden)
    #expect(header.version == 3)
    #expect(header.alignment == 32)
    #expect(header.metadata.keys == ["a", "b", "c"])
    #expect(header.metadata["a"] == .uint32(7))
    #expect(header.metadata["b"] == .string("é"))
    #expect(header.metadata["c"] == .array(elementType: .int8, [.int8(5), .int8(-1)]))
    #expect(header.entries.map(\.name) == ["t", "u"])
    #expect(header.entries.map(\.type) == [.f32, .q8_0])
    #expect(header.entries.map(\.shape) == [[2, 1], [32]])
    #expect(header.entries.map(\.range) == [192..<200, 224..<258])
  }

  @Test(arguments: [FileAccess.mapped, .read])
  func `no more than the header is read of a file larger than any memory`(access: FileAccess) throws {
    let folder = try TemporaryFolder()
    // Longer than what is read at first, so that it is read in growing pieces.
    var file = GGUFBytes { $0.add("long", .string(String(repeating: "x", count: 3 << 20))) }
    file.tensors = [.init("t", [1 << 20, 1 << 18], type: GGUFTensorType.f32.rawValue, [])]
    let path = try folder.write("x.gguf", file.bytes)
    #expect(truncate(path, off_t(file.bytes.count + 1 << 40)) == 0)
    let header = try GGUFHeader(of: InputFile(path: path, access: access))
    #expect(header.entries.map(\.range.count) == [1 << 40])
  }

  static let values: [GGUFValue] = [
    .uint8(200), .int8(-3), .uint16(60_000), .int16(-5), .uint32(4_000_000_000), .int32(-6), .float32(0.1),
    .bool(true), .string(""), .array(elementType: .string, [.string("x"), .string("yz")]),
    .array(elementType: .bool, []), .uint64(1 << 63), .int64(-1 << 62), .float64(1e300),
  ]

  @Test(arguments: values) func `reads every type of value`(value: GGUFValue) throws {
    let file = GGUFBytes { $0.add("key", value) }
    #expect(try GGUFHeader(file.bytes).metadata["key"] == value)
  }

  @Test(arguments: [2, 3] as [UInt32]) func `reads versions 2 and 3`(version: UInt32) throws {
    #expect(try GGUFHeader(GGUFBytes { $0.version = version }.bytes).version == Int(version))
  }

  @Test func `reads a file without keys and tensors`() throws {
    let header = try GGUFHeader(GGUFBytes().bytes)
    #expect(header.entries.isEmpty && header.metadata.keys.isEmpty)
  }

  @Test(arguments: [8, 64, 4096]) func `follows the alignment`(alignment: Int) throws {
    let file = GGUFBytes {
      $0.alignment = alignment
      $0.add("general.alignment", .uint32(UInt32(alignment)))
      $0.tensors = [.init("a", [1], [1, 2, 3, 4]), .init("b", [1], [5, 6, 7, 8])]
    }
    let header = try GGUFHeader(file.bytes)
    #expect(header.alignment == alignment)
    #expect(header.entries[1].range.lowerBound == header.entries[0].range.lowerBound + alignment)
    #expect(file.bytes[header.entries[1].range.lowerBound] == 5)
  }

  @Test func `reads a tensor without values`() throws {
    let file = GGUFBytes { $0.tensors = [.init("a", [4, 0], []), .init("b", [1], [1, 2, 3, 4])] }
    let header = try GGUFHeader(file.bytes)
    #expect(header.entries[0].shape == [0, 4])
    #expect(header.entries[0].range.isEmpty)
    #expect(header.entries[1].range == header.entries[0].range.lowerBound..<file.bytes.count - 28)
  }

  @Test func `the last tensor need not be padded`() throws {
    let file = GGUFBytes {
      $0.tensors = [.init("a", [1], [1, 2, 3, 4])]
      $0.padsLastTensor = false
    }
    #expect(try GGUFHeader(file.bytes).entries[0].range.upperBound == file.bytes.count)
  }

  @Test func `every file that ends too early is refused`() throws {
    for count in 0..<Self.golden.count {
      #expect(throws: FormatError.self) { try GGUFHeader(Array(Self.golden.prefix(count))) }
    }
  }

  @Test func `no changed byte crashes the reader`() {
    var random = SplitMix64(seed: 5)
    for _ in 0..<20_000 {
      var file = Self.golden
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        file[Int.random(in: 4..<192, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? GGUFHeader(file)
    }
  }
}
