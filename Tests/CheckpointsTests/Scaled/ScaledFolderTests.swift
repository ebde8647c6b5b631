import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing

@Suite struct `Small floats with scales` {
  private let folder: TemporaryFolder

  /// Layouts whose scales are powers of two, so that BF16 holds every weight.
  private static let exact = ["fp8-e8m0", "ct-mxfp4", "ct-mxfp8"]

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [
    ("fp8-block", "F8_E4M3"), ("fp8-e8m0", "F8_E4M3"), ("fp8-tensor", "F8_E4M3"),
    ("fp8-remainder", "F8_E4M3"),
    ("ct-channel", "F8_E4M3"), ("ct-tensor", "F8_E4M3"), ("ct-block", "F8_E4M3"), ("ct-mxfp8", "F8_E4M3"),
    ("ct-mxfp4", "MXFP4"), ("ct-nvfp4", "NVFP4"), ("modelopt-fp8", "F8_E4M3"), ("modelopt-nvfp4", "NVFP4"),
    ("fbgemm", "F8_E4M3"),
  ])
  func `have the weights that their own libraries compute`(layout: String, codes: String) throws {
    let expected = try Checkpoint.open(path: Fixtures.path("scaled/expected.safetensors"))
    let checkpoint = try Checkpoint.open(path: Fixtures.path("scaled/\(layout)"))
    let shape = layout == "fp8-remainder" ? [40, 100] : [48, 96]
    let matrix = TensorInfo(name: "m.weight", dtype: .bf16, shape: shape)
    #expect(checkpoint.contents.tensors == [matrix])
    #expect(try checkpoint.copiedBytes(of: "m.weight") == expected.copiedBytes(of: layout))
    #expect(checkpoint.contents.quantization.isEmpty)
    let notice = "\(codes): 1 tensor rounded to BF16"
    #expect(checkpoint.contents.notices.contains(notice) != Self.exact.contains(layout))
    #expect(checkpoint.storedForm(of: matrix)?.type == codes)
    let text = try #require(try checkpoint.asset(named: "config.json")).withSpan { $0.copiedBytes() }
    let configuration = try JSONValue(parsing: text)
    #expect(configuration["model_type"] == .string("llama"))
    #expect(configuration["quantization_config"] == nil)
  }

  @Test(arguments: [
    ("nf4-nested", DType.bf16, "NF4"), ("nf4", .f16, "NF4"), ("fp4", .f32, "FP4"), ("int8", .bf16, "I8"),
    ("nf4-in-bf16", .bf16, "NF4"),
  ])
  func `have the weights that bitsandbytes computes`(layout: String, dtype: DType, codes: String) throws {
    let expected = try Checkpoint.open(path: Fixtures.path("bitsandbytes/expected.safetensors"))
    let checkpoint = try Checkpoint.open(path: Fixtures.path("bitsandbytes/\(layout)"))
    let matrix = TensorInfo(name: "m.weight", dtype: dtype, shape: [96, 200])
    #expect(checkpoint.contents.tensors == [matrix])
    // By value: FP4's table has 0 for code 8, and the library computes -0.
    #expect(try Fixtures.floats("m.weight", in: checkpoint) == Fixtures.floats(layout, in: expected))
    #expect(checkpoint.contents.notices == (layout == "int8" ? ["I8: 1 tensor rounded to BF16"] : []))
    #expect(checkpoint.storedForm(of: matrix)?.type == codes)
  }

  @Test func `scales of inputs, keys and values are left out with a notice`() throws {
    let checkpoint = try Checkpoint.open(path: Fixtures.path("scaled/modelopt-fp8"))
    #expect(
      checkpoint.contents.notices.last
        == "2 scales of inputs, keys and values left out: rilq does not round them")
  }

  @Test func `the matrices of all experts are turned`() throws {
    let expected = try Checkpoint.open(path: Fixtures.path("scaled/expected.safetensors"))
    let checkpoint = try Checkpoint.open(path: Fixtures.path("scaled/mxfp4"))
    let tensor = TensorInfo(name: "m", dtype: .bf16, shape: [3, 64, 6])
    #expect(checkpoint.contents.tensors == [tensor])
    #expect(checkpoint.contents.notices.isEmpty)
    #expect(checkpoint.storedForm(of: tensor)?.type == "MXFP4")
    let values = try Fixtures.floats("mxfp4", in: expected)
    #expect(try Fixtures.floats("m", in: checkpoint) == values)
    // One expert alone, its columns in turn.
    let part = TensorInfo(name: "part", dtype: .bf16, shape: [3, 64])
    var contents = checkpoint.contents
    contents.tensors = [part]
    let slice = TensorSlice(start: 2 * 384 + 1, rows: 3, columns: 64, rowStride: 2, columnStride: 6)
    let cut = checkpoint.deriving(contents, from: ["part": .slice(slice, of: tensor)])
    let places = (0..<3).flatMap { row in (0..<64).map { 2 * 384 + 1 + 2 * row + 6 * $0 } }
    #expect(try Fixtures.floats("part", in: cut) == places.map { values[$0] })
    // A slice of nothing is empty.
    let empty = TensorInfo(name: "empty", dtype: .bf16, shape: [0, 1])
    contents.tensors = [empty]
    let nothing = TensorSlice(start: 0, rows: 0, columns: 1, rowStride: 2, columnStride: 1)
    let none = checkpoint.deriving(contents, from: ["empty": .slice(nothing, of: tensor)])
    #expect(try none.bytes(of: "empty").withSpan { $0.byteCount } == 0)
  }

  /// A matrix of 4 x 8 with blocks of 2 x 4, every weight 1 times its scale.
  private static func blocks(_ more: String = "") -> QuantizedFixture {
    var fixture = QuantizedFixture(
      tensors: [],
      configuration: """
        {"quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [2, 4]\(more)}}
        """)
    fixture.set("m.weight", .f8E4M3, [4, 8], [UInt8](repeating: 0x38, count: 32))
    fixture.set("m.weight_scale_inv", .f32, [2, 2], narrowed([1, 2, 3, 4], to: .f32))
    return fixture
  }

  @Test func `a scale is that of its rows and columns`() throws {
    let checkpoint = try Self.blocks().open(in: folder)
    let rows: [[Float]] = [[1, 1, 1, 1, 2, 2, 2, 2], [3, 3, 3, 3, 4, 4, 4, 4]]
    #expect(
      try Fixtures.floats("m.weight", in: checkpoint) == rows[0] + rows[0] + rows[1] + rows[1])
  }

  @Test func `the least and the greatest exponent`() throws {
    var fixture = Self.blocks()
    fixture.set("m.weight_scale_inv", .f8E8M0, [2, 2], [0, 1, 127, 254])
    let values = try Fixtures.floats("m.weight", in: fixture.open(in: folder))
    #expect([values[0], values[4], values[16], values[20]] == [0x1p-127, 0x1p-126, 1, 0x1p127])
  }

  @Test func `other tensors stay as they are`() throws {
    var fixture = Self.blocks()
    fixture.set("n.weight", .bf16, [2, 2], narrowed([1, 2, 3, 4], to: .bf16))
    fixture.set("m.bias", .f32, [4], narrowed([1, 2, 3, 4], to: .f32))
    let checkpoint = try fixture.open(in: folder)
    #expect(Set(checkpoint.contents.tensors.map(\.name)) == ["m.weight", "m.bias", "n.weight"])
    #expect(try Fixtures.floats("n.weight", in: checkpoint) == [1, 2, 3, 4])
    #expect(try Fixtures.floats("m.bias", in: checkpoint) == [1, 2, 3, 4])
  }
}

@Suite struct `Refusal of small floats` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func problem(_ fixture: QuantizedFixture) -> String? {
    message(in: folder) { _ = try fixture.open(in: folder).bytes(of: "m.weight") }
  }

  /// A matrix of 4 x 8 with blocks of 2 x 4.
  private static func fixture(_ block: String) -> QuantizedFixture {
    var fixture = QuantizedFixture(tensors: [], configuration: "{\"quantization_config\": {\(block)}}")
    fixture.set("m.weight", .f8E4M3, [4, 8])
    fixture.set("m.weight_scale_inv", .f32, [2, 2])
    fixture.set("m.weight_scale", .f32, [2, 2])
    return fixture
  }

  private static let block = #""quant_method": "fp8", "weight_block_size": [2, 4]"#

  @Test(arguments: [
    (#""quant_method": "fp8", "fmt": "e5m2""#, "'fmt': 'e5m2' is not supported; e4m3 is"),
    (#""quant_method": "fp8", "fmt": 8"#, "'fmt': … string"),
    (#""quant_method": "fp8", "weight_block_size": [128]"#, "'weight_block_size': is [128], not … block"),
    (#""quant_method": "fp8", "weight_block_size": [0, 4]"#, "'weight_block_size': is [0,4], not … block"),
    (#""quant_method": "fp8", "weight_block_size": 128"#, "'weight_block_size': is 128, not … block"),
    (#""quant_method": "modelopt", "quant_algo": "W4A8_AWQ""#, "'quant_algo': 'W4A8_AWQ' is not supported …"),
    (#""quant_method": "modelopt""#, "'quant_algo': '' is not supported …"),
    (
      #""quant_method": "compressed-tensors", "format": "marlin-24""#,
      "'format': format 'marlin-24' is not supported …"
    ),
    (
      #""quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"g": {}}"#,
      "'config_groups': 'g': 'weights': the object is missing"
    ),
    (
      #""quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"g": {"weights": {"type": "int", "num_bits": 8}}}"#,
      "'config_groups': 'g': 'weights': type 'int' of 8 bits in the format 'float-quantized' is not supported"
    ),
    (
      #""quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"g": {"weights": {"type": "float", "num_bits": 8, "block_structure": [2, 4]}}, "h": {"weights": {"type": "float", "num_bits": 8, "group_size": 4}}}"#,
      "'config_groups': blocks of several sizes are not read"
    ),
  ])
  func `refuses a configuration`(block: String, reason: String) {
    #expect(
      problem(Self.fixture(block)).says("/source/config.json: key 'quantization_config': " + reason))
  }

  @Test(
    arguments: [
      ("m.weight_scale_inv", .f32, [2, 3], "tensor 'm.weight_scale_inv': shape is [2, 3], expected [2, 2]"),
      ("m.weight_scale_inv", .f32, [4, 1], "tensor 'm.weight_scale_inv': shape is [4, 1], expected [2, 2]"),
      ("m.weight_scale_inv", .i32, [2, 2], "tensor 'm.weight_scale_inv': scales in I32 is not supported"),
      ("m.weight", .f8E4M3, [4, 4, 2], "tensor 'm.weight': F8_E4M3 of shape [4, 4, 2] is no matrix"),
      ("m.weight", .f8E4M3, [0, 8], "tensor 'm.weight': F8_E4M3 of shape [0, 8] is no matrix"),
    ] as [(String, DType, [Int], String)])
  func `refuses tensors that do not fit`(name: String, dtype: DType, shape: [Int], reason: String) {
    var fixture = Self.fixture(Self.block)
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason))
  }

  @Test(
    arguments: [
      ("m_blocks", .u8, [2, 6, 2, 8], "tensor 'm_blocks': shape [2, 6, 2, 8] is not … 16 bytes"),
      ("m_blocks", .u8, [2, 6, 32], "tensor 'm_blocks': shape [2, 6, 32] is not … 16 bytes"),
      ("m_scales", .u8, [2, 6, 3], "tensor 'm_scales': is U8 [2, 6, 3], expected U8 [2, 6, 2]"),
      ("m_scales", .i8, [2, 6, 2], "tensor 'm_scales': is I8 [2, 6, 2], expected U8 [2, 6, 2]"),
    ] as [(String, DType, [Int], String)])
  func `refuses experts that do not fit`(name: String, dtype: DType, shape: [Int], reason: String) {
    var fixture = Self.fixture(#""quant_method": "mxfp4""#)
    fixture.set("m_blocks", .u8, [2, 6, 2, 16])
    fixture.set("m_scales", .u8, [2, 6, 2])
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason))
  }

  @Test func `refuses a scale of experts that is no number`() {
    var fixture = Self.fixture(#""quant_method": "mxfp4""#)
    fixture.set("m.weight_blocks", .u8, [2, 6, 2, 16])
    fixture.set("m.weight_scales", .u8, [2, 6, 2], [UInt8](repeating: 127, count: 23) + [255])
    fixture.remove("m.weight")
    #expect(problem(fixture).says("/source: tensor 'm.weight_scales': value 23 is not finite"))
  }

  @Test func `refuses a matrix beside its codes`() {
    var fixture = Self.fixture(#""quant_method": "mxfp4""#)
    fixture.set("m_blocks", .u8, [2, 6, 2, 16])
    fixture.set("m_scales", .u8, [2, 6, 2])
    fixture.set("m", .bf16, [2, 64, 6])
    #expect(problem(fixture).says("/source: tensor 'm': 'm_blocks' stands for it, too"))
  }

  /// A matrix of 4 x 8 of bitsandbytes whose blocks have 16 elements.
  private static func tabled(
    _ state: String = #"{"shape": [4, 8], "dtype": "float32", "blocksize": 16}"#, _ type: String = "nf4",
    more: String = ""
  ) -> QuantizedFixture {
    let block =
      #""quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "\#(type)"\#(more)"#
    var fixture = QuantizedFixture(tensors: [], configuration: "{\"quantization_config\": {\(block)}}")
    fixture.set("m.weight", .u8, [16, 1])
    fixture.set("m.weight.absmax", .f32, [2], narrowed([1, 2], to: .f32))
    fixture.set("m.weight.quant_map", .f32, [16])
    fixture.set("m.weight.quant_state.bitsandbytes__nf4", .u8, [state.utf8.count], Array(state.utf8))
    return fixture
  }

  @Test func `the first code of a byte is in its upper half`() throws {
    var fixture = Self.tabled()
    fixture.set(
      "m.weight", .u8, [16, 1],
      [0x12] + [UInt8](repeating: 0, count: 8) + [0x0F] + [UInt8](repeating: 0, count: 6))
    fixture.set("m.weight.quant_map", .f32, [16], narrowed((0..<16).map(Float.init), to: .f32))
    let values = try Fixtures.floats("m.weight", in: fixture.open(in: folder))
    #expect(Array(values.prefix(3)) == [1, 2, 0])
    #expect(Array(values[18..<20]) == [0, 30])
  }

  @Test(arguments: [
    ("{", "is not JSON"), ("[]", "'shape' is not rows and columns"),
    (#"{"shape": [32], "dtype": "float32", "blocksize": 16}"#, "'shape' is not rows and columns"),
    (#"{"shape": [4, 8], "dtype": "int8", "blocksize": 16}"#, "dtype 'int8' is not supported …"),
    (#"{"shape": [4, 8], "dtype": "float32", "blocksize": 0}"#, "'blocksize' is not a positive integer"),
    (
      #"{"shape": [4, 8], "dtype": "float32", "blocksize": 16, "nested_offset": "x"}"#,
      "'nested_offset' is not a number"
    ),
    (
      #"{"shape": [4, 8], "dtype": "float32", "blocksize": 16, "nested_offset": 0.5}"#,
      "'nested_blocksize' is not a positive integer"
    ),
  ])
  func `refuses what is said of a table's codes`(state: String, reason: String) {
    #expect(
      problem(Self.tabled(state)).says("/source: tensor 'm.weight.quant_state.bitsandbytes__nf4': " + reason))
  }

  @Test(
    arguments: [
      (
        "m.weight", .u8, [15, 1],
        "tensor 'm.weight': shape [15, 1] does not hold [4, 8] in two codes to a byte"
      ),
      ("m.weight.absmax", .f32, [3], "tensor 'm.weight.absmax': is F32 [3], expected F32 of 2 elements"),
      ("m.weight.absmax", .u8, [2], "tensor 'm.weight.absmax': is U8 [2], expected F32 of 2 elements"),
      (
        "m.weight.quant_map", .f32, [8],
        "tensor 'm.weight.quant_map': is F32 [8], expected F32 of 16 elements"
      ),
    ] as [(String, DType, [Int], String)])
  func `refuses tensors that do not fit codes of a table`(
    name: String, dtype: DType, shape: [Int], reason: String
  ) {
    var fixture = Self.tabled()
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason))
  }

  @Test func `refuses a table that is not finite, and one that is missing`() {
    var fixture = Self.tabled()
    fixture.set("m.weight.quant_map", .f32, [16], narrowed([Float](repeating: .nan, count: 16), to: .f32))
    #expect(problem(fixture).says("/source: tensor 'm.weight.quant_map': value 0 is not finite"))
    fixture.remove("m.weight.quant_map")
    #expect(problem(fixture).says("/source: tensor 'm.weight': tensor 'm.weight.quant_map' is missing"))
  }

  @Test func `refuses a scale in 8 bits that becomes infinite`() {
    let state =
      #"{"shape": [4, 8], "dtype": "float32", "blocksize": 16, "nested_offset": 0, "nested_blocksize": 256}"#
    var fixture = Self.tabled(state)
    fixture.set("m.weight.absmax", .u8, [2], [0, 1])
    fixture.set(
      "m.weight.nested_quant_map", .f32, [256],
      narrowed((0..<256).map { $0 == 1 ? 1e30 : 0 }, to: .f32))
    fixture.set("m.weight.nested_absmax", .f32, [1], narrowed([1e30], to: .f32))
    #expect(problem(fixture).says("/source: tensor 'm.weight.absmax': value 1 is not finite"))
  }

  @Test func `refuses other types and storages of bitsandbytes`() {
    #expect(problem(Self.tabled("{}", "nf8")).says("… 'bnb_4bit_quant_type': 'nf8' is not supported …"))
    let storage = #", "bnb_4bit_quant_storage": "float64""#
    #expect(
      problem(Self.tabled("{}", more: storage))
        .says(
          "… 'bnb_4bit_quant_storage': 'float64' is not supported; "
            + "bfloat16, float16, float32, int8 and uint8 are"))
    #expect(
      problem(Self.fixture(#""quant_method": "bitsandbytes""#))
        .says("… 'quantization_config': 'load_in_4bit' or 'load_in_8bit', true is missing"))
  }

  @Test func `weights may have the dtype in which codes are stored`() throws {
    var fixture = Self.tabled(more: #", "bnb_4bit_quant_storage": "float32""#)
    fixture.set("m.weight", .f32, [4, 1])
    fixture.set("n.weight", .f32, [3, 4])
    let checkpoint = try fixture.open(in: folder)
    let tensors = checkpoint.contents.tensors.map { "\($0.name) \($0.dtype.rawValue) \($0.shape)" }
    #expect(tensors == ["m.weight F32 [4, 8]", "n.weight F32 [3, 4]"])
    fixture.remove("m.weight.absmax")
    #expect(problem(fixture).says("/source: tensor 'm.weight': tensor 'm.weight.absmax' is missing"))
    fixture.set("m.weight", .f32, [5, 1])
    let reason = "shape [5, 1] does not hold [4, 8] in two codes to a byte"
    #expect(problem(fixture).says("/source: tensor 'm.weight': \(reason)"))
  }

  @Test func `refuses bytes that are not in rows`() {
    var fixture = Self.fixture(#""quant_method": "bitsandbytes", "load_in_8bit": true"#)
    fixture.set("m.weight", .i8, [4, 8])
    fixture.set("m.SCB", .f32, [4])
    #expect(problem(fixture) == nil)
    fixture.set("m.weight_format", .u8, [], [2])
    #expect(
      problem(fixture).says("/source: tensor 'm.weight_format': codes that are not in rows are not read"))
  }

  @Test func `a block may be larger than any matrix`() throws {
    var fixture = Self.fixture(
      #""quant_method": "fp8", "weight_block_size": [9223372036854775807, 9223372036854775807]"#)
    fixture.set("m.weight_scale_inv", .f32, [1, 1], narrowed([1], to: .f32))
    #expect(problem(fixture) == nil)
    fixture = Self.tabled(#"{"shape": [4, 8], "dtype": "float32", "blocksize": 9223372036854775807}"#)
    fixture.set("m.weight.absmax", .f32, [1], narrowed([1], to: .f32))
    #expect(problem(fixture) == nil)
  }

  @Test func `refuses codes without scales`() {
    var fixture = Self.fixture(Self.block)
    fixture.remove("m.weight_scale_inv")
    #expect(problem(fixture).says("/source: tensor 'm.weight': tensor 'm.weight_scale_inv' is missing"))
  }

  @Test(arguments: [Float.nan, .infinity]) func `refuses a scale that is not finite`(scale: Float) {
    var fixture = Self.fixture(Self.block)
    fixture.set("m.weight_scale_inv", .f32, [2, 2], narrowed([1, 1, scale, 1], to: .f32))
    #expect(problem(fixture).says("/source: tensor 'm.weight_scale_inv': value 2 is not finite"))
  }

  @Test(
    arguments: [
      (.f32, [2], "tensor 'm.weight_scale_2': F32 of shape [2] is not one number in F32"),
      (.f16, [], "tensor 'm.weight_scale_2': F16 of shape [] is not one number in F32"),
    ] as [(DType, [Int], String)])
  func `refuses a wrong number of a module`(dtype: DType, shape: [Int], reason: String) {
    var fixture = Self.fixture(#""quant_method": "modelopt", "quant_algo": "NVFP4""#)
    fixture.set("m.weight", .u8, [4, 8])
    fixture.set("m.weight_scale", .f8E4M3, [4, 1])
    fixture.set("m.weight_scale_2", dtype, shape)
    #expect(problem(fixture).says("/source: " + reason))
  }

  @Test func `refuses a number of a module that makes its scales infinite`() {
    var fixture = Self.fixture(
      #""quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized""#)
    fixture.remove("m.weight")
    fixture.set("m.weight_packed", .u8, [4, 8])
    fixture.set("m.weight_scale", .f8E4M3, [4, 1], [UInt8](repeating: 0x38, count: 4))
    fixture.set("m.weight_global_scale", .f32, [1], narrowed([0], to: .f32))
    #expect(problem(fixture).says("/source: tensor 'm.weight_global_scale': value 0 is not finite"))
  }
}
