import Checkpoints
import Kernels
import TestSupport
import Testing

/// Importance files of llama.cpp; those in `Fixtures/imatrix` are made by Python's gguf.
@Suite struct ImportanceMatrixTests {
  private static let dense = (0..<2).flatMap { layer in
    ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"].map {
      "blk.\(layer).\($0).weight"
    }
  }

  private func golden(_ name: String) throws -> ImportanceMatrix {
    try #require(try ImportanceMatrix(path: Fixtures.path("imatrix/\(name)")))
  }

  /// The means that `Scripts/make-imatrix-golden.py` gives a tensor.
  private func means(_ number: Int, _ columns: Range<Int>) -> [Float] {
    columns.map { Float(1 + (31 * number + 7 * $0) % 251) / 16 }
  }

  @Test func `reads the means and counts of a GGUF file`() throws {
    let matrix = try golden("tiny.gguf")
    let entries = Dictionary(grouping: matrix.entries, by: \.tensor).compactMapValues(\.first)
    #expect(
      Set(entries.keys)
        == Set(Self.dense + ["output.weight", "blk.2.attn_q.weight", "nextn.proj.weight"]))
    for (number, name) in Self.dense.enumerated() {
      let entry = try #require(entries[name])
      #expect(entry.counts == [48] && entry.valueCount == 128)
      #expect(try matrix.means(of: entry) == means(number, 0..<128))
    }
    #expect(matrix.isBeyond("blk.2.attn_q.weight", layerCount: 2))
    #expect(matrix.isBeyond("nextn.proj.weight", layerCount: 2))
    #expect(!matrix.isBeyond("blk.1.attn_q.weight", layerCount: 2))
    #expect(!matrix.isBeyond("blk.3.attn_q.weight", layerCount: 2))
    #expect(!matrix.isBeyond("output.weight", layerCount: 2))
  }

  @Test func `reads the means of the older form`() throws {
    let matrix = try golden("tiny.dat")
    #expect(matrix.entries.map(\.tensor) == (Self.dense + ["output.weight"]).sorted())
    for entry in matrix.entries {
      let number = Self.dense.firstIndex(of: entry.tensor) ?? 99
      #expect(entry.counts == [3])
      #expect(try matrix.means(of: entry) == means(number, 0..<128))
    }
  }

  @Test func `an expert without a token has ones`() throws {
    let matrix = try golden("mixtral.gguf")
    let entry = try #require(matrix.entries.first { $0.tensor == "blk.1.ffn_up_exps.weight" })
    #expect(entry.counts == [48, 64, 0, 33])
    var expected = means(14, 0..<256)
    expected.replaceSubrange(128..<192, with: [Float](repeating: 1, count: 64))
    #expect(try matrix.means(of: entry) == expected)
  }

  @Test(arguments: ["", "abc", "no such file", "P\u{1}\0\0\0\0\0\0{\"a\":", "P\u{1}\0\0\u{4}\0\0\0{\"a\":"])
  func `other files are neither form`(text: String) throws {
    #expect(try ImportanceMatrix(of: InputFile(Array(text.utf8), path: "i")) == nil)
  }

  // MARK: Refusals

  private func refusal(_ bytes: [UInt8]) -> String {
    do {
      let matrix = try ImportanceMatrix(of: InputFile(bytes, path: "i"))
      for entry in matrix?.entries ?? [] { _ = try matrix?.means(of: entry) }
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  private func floats(_ values: Float...) -> [UInt8] { values.flatMap { $0.bitPattern.littleEndianBytes } }

  /// A sound file of one matrix with two columns, unless told otherwise.
  private func file(_ change: (inout GGUFBytes) -> Void) -> [UInt8] {
    GGUFBytes {
      $0.add("general.type", .string("imatrix"))
      $0.tensors = [
        GGUFBytes.Tensor("a.weight.in_sum2", [2], floats(1, 4)),
        GGUFBytes.Tensor("a.weight.counts", [1], floats(2)),
      ]
      change(&$0)
    }.bytes
  }

  @Test func `a small file is read`() { #expect(refusal(file { _ in }) == "no error") }

  @Test func `refuses GGUF files that are no importance`() {
    let model = file {
      $0.keys = []
      $0.add("general.type", .string("model"))
    }
    #expect(refusal(model).says("i: key 'general.type': 'model' … 'imatrix' …"))
    #expect(refusal(file { $0.keys = [] }).says("i: key 'general.type' … missing"))
  }

  @Test func `refuses sums without counts and counts without sums`() {
    #expect(refusal(file { $0.tensors.removeLast() }).says("i: tensor 'a.weight.counts' … missing"))
    #expect(refusal(file { $0.tensors.removeFirst() }).says("i: tensor 'a.weight.in_sum2' … missing"))
  }

  @Test func `refuses other types, and tensors without values`() {
    let half = file {
      $0.tensors[0] = GGUFBytes.Tensor("a.weight.in_sum2", [2], type: 1, [0, 0, 0, 0])
    }
    #expect(refusal(half).says("i: byte … tensor 'a.weight.in_sum2': … F16 … F32 …"))
    let empty = file { $0.tensors[1] = GGUFBytes.Tensor("a.weight.counts", [0], []) }
    #expect(refusal(empty).says("i: byte … tensor 'a.weight.counts': … [0] … F32 …"))
  }

  @Test(arguments: [-1, Float.nan, .infinity]) func `refuses counts that are no numbers of tokens`(
    value: Float
  ) {
    let bytes = file { $0.tensors[1].data = value.bitPattern.littleEndianBytes }
    #expect(refusal(bytes).says("i: byte … tensor 'a.weight.counts': count 0 is \(value) …"))
  }

  @Test(arguments: [-1, Float.nan, .infinity]) func `refuses sums that are no sums of squares`(value: Float) {
    let bytes = file { $0.tensors[0].data.replaceSubrange(4..<8, with: value.bitPattern.littleEndianBytes) }
    #expect(refusal(bytes).says("i: byte … tensor 'a.weight.in_sum2': value 1 is \(value) …"))
  }

  /// The older form: a number of entries, then numbers and texts.
  private func older(_ count: Int32, _ parts: [UInt8]...) -> [UInt8] {
    count.littleEndianBytes + parts.flatMap(\.self)
  }

  private func number(_ value: Int32) -> [UInt8] { value.littleEndianBytes }
  private var name: [UInt8] { number(4) + Array("blk.".utf8) }
  private var entry: [UInt8] { name + number(2) + number(1) + floats(3) }

  @Test func `the older form may end after its entries or its windows`() {
    #expect(refusal(older(1, entry)) == "no error")
    #expect(refusal(older(1, entry, number(2))) == "no error")
    #expect(refusal(older(1, entry, number(2), number(0))) == "no error")
    #expect(refusal(older(1, entry, number(2), number(1), [65])) == "no error")
  }

  @Test func `refuses malformed files of the older form`() {
    let long = number(9) + Array("blk.".utf8)
    #expect(refusal(older(2, entry)).says("i: byte 24: entry 1: needs 4 bytes, 0 …"))
    #expect(refusal(older(2, entry, entry)).says("i: byte 24: tensor 'blk.': … twice"))
    #expect(refusal(older(1, long)).says("i: byte 8: entry 0: needs 9 bytes, 4 …"))
    #expect(refusal(older(1, name, number(-1))).says("i: byte 12: tensor 'blk.': -1 windows"))
    #expect(refusal(older(1, name, number(1), number(0))).says("i: byte 16: tensor 'blk.': 0 values"))
    #expect(
      refusal(older(1, name, number(1), number(.max))).says(
        "i: byte 20: tensor 'blk.': needs 8589934588 bytes, 0 …"))
    #expect(refusal(older(1, number(4), [0xFF, 0x62, 0x63, 0x64])).says("i: byte 8: entry 0: … UTF-8"))
    #expect(refusal(older(1, entry, number(2), number(1), [65, 66])).says("i: byte 33: … after …"))
    #expect(refusal(older(1, entry, number(2), number(-5))).says("i: byte 28: -5 …"))
    #expect(
      refusal(older(1, name, number(2), number(1), floats(.nan))).says(
        "i: byte 20: tensor 'blk.': value 0 is nan …"))
  }

  @Test func `refuses the older form with a second entry whose name is too long`() {
    let bytes = older(2, entry, number(64), [UInt8](repeating: 97, count: 64))
    #expect(refusal(bytes).says("i: byte 24: entry 1: 64 …"))
  }

  // MARK: Writing

  /// A matrix and a stack of two, of which one has no token.
  private func write(to path: String) throws {
    var matrix = ImportanceMatrix.Sums(
      tensor: "blk.0.attn_q.weight", matrixCount: 1, columnCount: 3, isStack: false)
    (matrix.counts, matrix.values) = ([8], [1, 2, 3])
    var stack = ImportanceMatrix.Sums(
      tensor: "blk.0.ffn_up_exps.weight", matrixCount: 2, columnCount: 2, isStack: true)
    (stack.counts[1], stack.values) = (4, [0, 0, 5, 6])
    try ImportanceMatrix.write(path, [matrix, stack], datasets: ["a.txt"], chunkCount: 2, chunkSize: 4)
  }

  @Test func `reads what it wrote`() throws {
    let folder = try TemporaryFolder()
    try write(to: folder.path("i.gguf"))
    let matrix = try #require(try ImportanceMatrix(path: folder.path("i.gguf")))
    #expect(matrix.entries.map(\.tensor) == ["blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight"])
    #expect(matrix.entries.map(\.counts) == [[8], [0, 4]])
    #expect(
      try matrix.entries.map { try matrix.means(of: $0) } == [[0.125, 0.25, 0.375], [1, 1, 1.25, 1.5]])
  }

  @Test(.enabled(if: PythonPeer.has("gguf")))
  func `Python's gguf finds keys, shapes and values of a written file`() throws {
    let folder = try TemporaryFolder()
    try write(to: folder.path("i.gguf"))
    let text = try PythonPeer.run(
      """
      import sys
      from gguf import GGUFReader
      reader = GGUFReader(sys.argv[1])
      for key in ("general.type", "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"):
          print(key, reader.get_field(key).types[0].name, reader.get_field(key).contents())
      for tensor in reader.tensors:
          print(tensor.name, tensor.tensor_type.name, list(map(int, tensor.shape)), tensor.data.flatten().tolist())
      """, [folder.path("i.gguf")])
    #expect(
      text == """
        general.type STRING imatrix
        imatrix.datasets ARRAY ['a.txt']
        imatrix.chunk_count UINT32 2
        imatrix.chunk_size UINT32 4
        blk.0.attn_q.weight.in_sum2 F32 [3] [1.0, 2.0, 3.0]
        blk.0.attn_q.weight.counts F32 [1] [8.0]
        blk.0.ffn_up_exps.weight.in_sum2 F32 [2, 2] [0.0, 0.0, 5.0, 6.0]
        blk.0.ffn_up_exps.weight.counts F32 [1, 2] [0.0, 4.0]

        """)
  }
}
