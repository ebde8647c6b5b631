import Checkpoints
import TestSupport
import Testing

/// A file that breaks one rule, and what is said about it.
struct GGUFLie: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let bytes: [UInt8]
  let message: String

  init(_ name: String, _ message: String, _ change: (inout GGUFBytes) -> Void) {
    self.init(name, message, GGUFBytes(change).bytes)
  }

  init(_ name: String, _ message: String, _ bytes: [UInt8]) {
    testDescription = name
    self.bytes = bytes
    self.message = "x.gguf: " + message
  }
}

extension GGUFLie {
  private static func one(_ change: (inout GGUFBytes.Tensor) -> Void) -> (inout GGUFBytes) -> Void {
    var tensor = GGUFBytes.Tensor("a", [1], [1, 2, 3, 4])
    change(&tensor)
    return { [tensor] in $0.tensors = [tensor] }
  }

  private static func key(_ key: [UInt8], _ value: [UInt8]) -> (inout GGUFBytes) -> Void {
    { $0.keys = [(key, value)] }
  }

  private static func aligned(_ value: GGUFValue) -> (inout GGUFBytes) -> Void {
    { $0.add("general.alignment", value) }
  }

  static let start = [
    GGUFLie("empty", "byte 0: does not begin with 'GGUF'", []),
    GGUFLie("another magic", "byte 0: does not begin with 'GGUF'") { $0.magic = Array("GGML".utf8) },
    GGUFLie("version 0", "byte 4: version 0 is not supported; 2 and 3 are") { $0.version = 0 },
    GGUFLie("version 1", "byte 4: version 1 is not supported; 2 and 3 are") { $0.version = 1 },
    GGUFLie("version 4", "byte 4: version 4 is not supported; 2 and 3 are") { $0.version = 4 },
    GGUFLie("big-endian", "byte 4: a big-endian file is not supported") { $0.version = 0x0300_0000 },
    GGUFLie("-1 tensors", "byte 8: 18446744073709551615 tensors, the file has room for 0") {
      $0.tensorCount = .max
    },
    GGUFLie("-1 keys", "byte 16: 18446744073709551615 keys, the file has room for 0") { $0.keyCount = .max },
    GGUFLie(
      "a key too many", "byte 16: 2 keys, the file has room for 1",
      {
        $0.add("k", .uint64(1)); $0.keyCount = 2
      }),
  ]

  static let keys = [
    GGUFLie(
      "an empty key", "byte 24: key 0: a key of 0 bytes", key([], GGUFBytes.number(UInt32(0)) + [1, 0])),
    GGUFLie("a key longer than the file", "byte 24: key 0: needs 9223372036854775807 bytes, 6 are left") {
      $0.keyCount = 1
      $0.keyBytes = GGUFBytes.number(UInt64.max) + [1, 2, 3, 4, 5, 6]
    },
    GGUFLie(
      "a key that is not UTF-8", "byte 32: key 0: the text is not UTF-8",
      key([0xFF], GGUFBytes.number(UInt32(4)) + [1, 0, 0, 0])),
    GGUFLie(
      "a value type that is none", "byte 33: key 'a': value type 13",
      key([0x61], GGUFBytes.number(UInt32(13)) + [1, 0, 0, 0])),
    GGUFLie(
      "truth value 2", "byte 37: key 'a': truth value 2", key([0x61], GGUFBytes.number(UInt32(7)) + [2])),
    GGUFLie("a key twice", "byte 38: key 'a': is there twice") {
      $0.add("a", .uint8(1)); $0.add("a", .uint8(1))
    },
    GGUFLie(
      "a text longer than the file", "byte 37: key 'a': needs 99 bytes, 0 are left",
      key([0x61], GGUFBytes.number(UInt32(8)) + GGUFBytes.number(UInt64(99)))),
    GGUFLie(
      "a text that is not UTF-8", "byte 45: key 'a': the text is not UTF-8",
      key([0x61], GGUFBytes.number(UInt32(8)) + GGUFBytes.number(UInt64(1)) + [0xFF])),
    GGUFLie(
      "an array of arrays", "byte 37: key 'a': an array of arrays is not supported",
      key([0x61], GGUFBytes.number(UInt32(9)) + GGUFBytes.number(UInt32(9)) + GGUFBytes.number(UInt64(0)))),
    GGUFLie(
      "an array longer than the file",
      "byte 41: key 'a': 2305843009213693952 values, the file has room for 0",
      key(
        [0x61], GGUFBytes.number(UInt32(9)) + GGUFBytes.number(UInt32(10)) + GGUFBytes.number(UInt64(1 << 61))
      )),
    GGUFLie(
      "an array of a type that is none", "byte 37: key 'a': value type 77",
      key([0x61], GGUFBytes.number(UInt32(9)) + GGUFBytes.number(UInt32(77)) + GGUFBytes.number(UInt64(0)))),
    GGUFLie("an alignment of 64 bits", "key 'general.alignment': is not a u32", aligned(.uint64(32))),
    GGUFLie(
      "an alignment of 0", "key 'general.alignment': 0 is not a power of two from 8", aligned(.uint32(0))),
    GGUFLie(
      "an alignment of 4", "key 'general.alignment': 4 is not a power of two from 8", aligned(.uint32(4))),
    GGUFLie(
      "an alignment of 48", "key 'general.alignment': 48 is not a power of two from 8", aligned(.uint32(48))),
  ]

  static let tensors = [
    GGUFLie("an empty name", "byte 24: tensor 0: a name of 0 bytes, not 1 to 63", one { $0.name = [] }),
    GGUFLie(
      "a name of 64 bytes", "byte 24: tensor 0: a name of 64 bytes, not 1 to 63",
      one { $0.name = [UInt8](repeating: 0x61, count: 64) }),
    GGUFLie("a name that is not UTF-8", "byte 32: tensor 0: the text is not UTF-8", one { $0.name = [0xC3] }),
    GGUFLie("a name twice", "byte 57: tensor 'a': is there twice") {
      $0.tensors = [.init("a", [1], [1, 2, 3, 4]), .init("a", [1], [1, 2, 3, 4])]
    },
    GGUFLie("no dimension", "byte 33: tensor 'a': 0 dimensions, not 1 to 4", one { $0.dimensions = [] }),
    GGUFLie(
      "5 dimensions", "byte 33: tensor 'a': 5 dimensions, not 1 to 4",
      one { $0.dimensions = [1, 1, 1, 1, 1] }),
    GGUFLie(
      "a dimension of -1", "byte 37: tensor 'a': a dimension of 18446744073709551615",
      one { $0.dimensions = [.max] }),
    GGUFLie(
      "a shape that overflows", "byte 33: tensor 'a': shape [4294967296, 4294967296] overflows",
      one { $0.dimensions = [1 << 32, 1 << 32] }),
    GGUFLie(
      "a shape that overflows beside a zero",
      "byte 33: tensor 'a': shape [4611686018427387904, 4611686018427387904, 0] overflows",
      one { $0.dimensions = [0, 1 << 62, 1 << 62] }),
    GGUFLie(
      "a size in bytes that overflows", "byte 33: tensor 'a': shape [2305843009213693952] overflows",
      one { $0.dimensions = [1 << 61] }),
    GGUFLie(
      "a type that is none", "byte 45: tensor 'a': tensor type 4242 is not supported", one { $0.type = 4242 }),
    GGUFLie(
      "a type that is not read", "byte 45: tensor 'a': tensor type 15 (Q8_K) is not supported",
      one { $0.type = 15 }),
    GGUFLie(
      "a row that is no whole block",
      "byte 33: tensor 'a': rows of 16 values are not whole Q4_1 blocks of 32",
      one {
        $0.dimensions = [16]; $0.type = 3
      }),
    GGUFLie(
      "an offset that is not aligned", "byte 49: tensor 'a': its offset is 4, the tensors before it end at 0",
      one { $0.offset = 4 }),
    GGUFLie(
      "an offset beyond the file",
      "byte 49: tensor 'a': its offset is 9223372036854775808, the tensors before it end at 0",
      one { $0.offset = 1 << 63 }),
    GGUFLie("a hole", "byte 82: tensor 'b': its offset is 64, the tensors before it end at 32") {
      $0.tensors = [.init("a", [1], [1, 2, 3, 4]), .init("b", [1], [1, 2, 3, 4], offset: 64)]
    },
    GGUFLie("an overlap", "byte 82: tensor 'b': its offset is 0, the tensors before it end at 32") {
      $0.tensors = [.init("a", [1], [1, 2, 3, 4]), .init("b", [1], [1, 2, 3, 4], offset: 0)]
    },
    GGUFLie(
      "another alignment than stated",
      "byte 115: tensor 'b': its offset is 32, the tensors before it end at 64"
    ) {
      $0.add("general.alignment", .uint32(64))
      $0.tensors = [.init("a", [1], [1, 2, 3, 4]), .init("b", [1], [1, 2, 3, 4])]
    },
    GGUFLie(
      "more values than bytes", "byte 64: tensor 'a': needs 4000 bytes, 32 are left",
      one { $0.dimensions = [1000] }),
    GGUFLie(
      "exabytes", "byte 33: tensor 'a': shape [1152921504606846976] overflows",
      one { $0.dimensions = [1 << 60] }),
    GGUFLie(
      "data of a tensor missing", "byte 64: tensor 'a': needs 4 bytes, 3 are left",
      Array(GGUFBytes(one { _ in }).bytes.dropLast(29))),
    GGUFLie(
      "bytes after the data", "byte 96: 1 bytes follow the last tensor", GGUFBytes(one { _ in }).bytes + [0]),
    GGUFLie(
      "bytes after a file without tensors", "byte 32: 25 bytes follow the last tensor",
      GGUFBytes().bytes + [UInt8](repeating: 0, count: 33)),
    GGUFLie(
      "type 42 in blocks of 34 bytes",
      "byte 90: tensor 'b': is of type 42 in its older blocks of 128 weights; the sizes are not those of Q2_0"
    ) {
      $0.tensors = [
        .init("a", [128, 16], type: 42, [UInt8](repeating: 0, count: 544)), .init("b", [1], [1, 2, 3, 4]),
      ]
    },
    GGUFLie(
      "type 42 in blocks of 34 bytes in the last tensor",
      "byte 57: tensor 'a': is of type 42 in its older blocks of 128 weights; the sizes are not those of Q2_0",
      one {
        $0.dimensions = [128, 16]; $0.type = 42; $0.data = [UInt8](repeating: 0, count: 544)
      }),
  ]
}

struct GGUFHeaderRefusalTests {
  @Test(arguments: GGUFLie.start + GGUFLie.keys + GGUFLie.tensors)
  func `refuses a file that breaks a rule`(lie: GGUFLie) throws {
    let error = #expect(throws: FormatError.self) { try GGUFHeader(lie.bytes) }
    #expect(error?.description == lie.message)
  }

  @Test func `refuses more values in arrays than any vocabulary has`() {
    let count = (1 << 23) + 1
    let file = GGUFBytes {
      $0.keyCount = 1
      // The key `a`, an array of bytes.
      $0.keyBytes =
        UInt64(1).littleEndianBytes + [0x61] + UInt32(9).littleEndianBytes + UInt32(0).littleEndianBytes
        + UInt64(count).littleEndianBytes + [UInt8](repeating: 0, count: count)
    }
    let error = #expect(throws: FormatError.self) { try GGUFHeader(file.bytes) }
    #expect(error?.place == "key 'a'")
    #expect(error?.description.says("x.gguf: … \(count) values … \(1 << 23)") == true)
  }
}
