import Checkpoints
import TestSupport
import Testing

@Suite struct `Refusal of integer zero points` {
  private let folder: TemporaryFolder
  private let sample = IntegerSample(outputCount: 32, inputCount: 64)

  init() throws { folder = try TemporaryFolder() }

  private func problem(_ fixture: QuantizedFixture, reading name: String? = nil) -> String? {
    message(in: folder) {
      let checkpoint = try fixture.open(in: folder)
      if let name { _ = try checkpoint.bytes(of: name) }
    }
  }

  @Test(arguments: [
    (#", "checkpoint_format": "marlin""#, "'checkpoint_format': … 'marlin' …"),
    (
      #", "checkpoint_format": "gptq", "format": "gptq_v2""#,
      "'checkpoint_format': … 'gptq' … 'format' … 'gptq_v2'"
    ),
    (#", "pack_dtype": "int64""#, "'pack_dtype': packing … words …"),
    (#", "pack_dtype": 32"#, "'pack_dtype': … string"),
    (#", "dynamic": []"#, "'dynamic': … object"),
    (#", "dynamic": {"(": {}}"#, "'dynamic': … '(' …"),
    (#", "dynamic": {"a++": {}}"#, "'dynamic': … 'a++' …"),
    (#", "dynamic": {"(?!m)": {}}"#, "'dynamic': … '(?!m)' …"),
    (#", "dynamic": {"m{5000}{5000}": {}}"#, "'dynamic': … 'm{5000}{5000}' …"),
    (#", "dynamic": {"m": 1}"#, "'dynamic': 'm' … object"),
    (#", "dynamic": {"m": {"bits": 5}}"#, "5-bit …"),
    (#", "adapter": {"name": "lora"}"#, "'adapter': … checkpoint … read"),
  ])
  func `refuses a configuration of GPTQ`(more: String, reason: String) {
    #expect(
      problem(.gptq(sample, adding: more)).says("/source/config.json: key 'quantization_config': " + reason))
  }

  @Test(arguments: [
    ("\"bits\": 2,", "", ": integer 'bits' … missing"),
    ("\"bits\": 2,", "\"bits\": 2.0,", ": 'bits': … integer"),
    ("\"bits\": 2,", "\"bits\": 5,", ": 5-bit …"),
    ("\"bits\": 2,", "\"bits\": 16,", ": 'bits': … 16 bits … more …"),
    ("\"group_size\": 32,", "", ": integer 'group_size' … missing"),
    ("\"group_size\": 32,", "\"group_size\": 0,", ": … 0 columns"),
    ("\"sym\": false", "\"sym\": 0", ": 'sym': … true … false"),
    ("\"gptq\"", "\"quip\"", ": 'quant_method': … 'quip' …"),
    ("\"gptq\"", "1", ": 'quant_method': … string"),
  ])
  func `refuses a wrong value`(text: String, replacement: String, reason: String) {
    var fixture = QuantizedFixture.gptq(sample)
    fixture.configuration = fixture.configuration.replacing(text, with: replacement)
    #expect(problem(fixture).says("/source/config.json: key 'quantization_config'" + reason))
  }

  @Test(
    arguments: [
      ("m.qweight", .i32, [5, 32], "tensor 'm.qweight': 80 columns … 32"),
      ("m.qweight", .i64, [4, 32], "tensor 'm.qweight': … I64 [4, 32] … 2 dimensions … I32"),
      ("m.qweight", .i32, [4, 0], "tensor 'm.qweight': … I32 [4, 0] … 2 dimensions … I32"),
      (
        "m.qweight", .i32, [1 << 61, 0],
        "tensor 'm.qweight': … I32 [2305843009213693952, 0] … 2 dimensions … I32"
      ),
      ("m.qweight", .i32, [4, 17], "tensor 'm.qzeros': 17 2-bit …"),
      (
        "m.qzeros", .i32, [2, 4],
        "tensor 'm.qzeros' of 2 bits in groups of 32: … [2, 4] … [2, 2]"
      ),
      (
        "m.scales", .f16, [4, 32],
        "tensor 'm.scales' of 2 bits in groups of 32: … [4, 32] … [2, 32]"
      ),
      (
        "m.scales", .i32, [2, 32],
        "tensor 'm.scales': … I32 [2, 32] … 2 dimensions … F16, BF16, F32"
      ),
      ("m.g_idx", .i32, [63], "tensor 'm.g_idx': … I32 [63] … 64 integers"),
      ("m.g_idx", .f32, [64], "tensor 'm.g_idx': … F32 [64] … 64 integers"),
      ("m.weight", .f16, [4], "tensor 'm.qweight': … 'm.weight' …"),
      ("x.qzeros", .i32, [1, 1], "tensor 'x.qzeros': … 'x.qweight'"),
      ("x.g_idx", .i32, [1], "tensor 'x.g_idx': … 'x.qweight'"),
      ("m.biases", .f16, [4], "tensor 'm.biases': … quantized"),
    ] as [(String, DType, [Int], String)])
  func `refuses tensors that do not fit`(name: String, dtype: DType, shape: [Int], reason: String) {
    var fixture = QuantizedFixture.gptq(sample)
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason))
  }

  @Test(arguments: ["m.qzeros", "m.scales"])
  func `refuses a module that is not whole`(name: String) {
    var fixture = QuantizedFixture.gptq(sample)
    fixture.remove(name)
    #expect(problem(fixture).says("/source: … '\(name)' … missing"))
  }

  @Test(arguments: [
    (40, 0, "… reordered … column 40 … group 0 … 1"),
    (3, 2, "column 3 … group 2 … 2"), (3, -1, "column 3 … group -1 … 2"),
  ])
  func `refuses reordered columns`(column: Int, group: Int, reason: String) {
    var fixture = QuantizedFixture.gptq(sample)
    let index = (0..<64).map { $0 == column ? group : $0 / 32 }
    fixture.set("m.g_idx", .i32, [64], index.flatMap { UInt32(truncatingIfNeeded: $0).littleEndianBytes })
    #expect(problem(fixture).says("/source: tensor 'm.g_idx': " + reason))
  }

  @Test func `refuses a module that should not be quantized`() {
    #expect(
      problem(.gptq(sample, adding: #", "dynamic": {"-:m": {}}"#)).says(
        "/source: tensor 'm.qweight': … quantized"))
  }

  @Test func `refuses a zero point that version 1 cannot tell`() {
    var sample = sample
    sample.zeroPoints[5] = 0
    // Output 2, group 1 is stored as 0 - 1 in two bits.
    var fixture = QuantizedFixture.gptq(sample, shift: 0, adding: #", "format": "gptq""#)
    fixture.set("m.qzeros", .i32, [2, 2], [UInt8](repeating: 0, count: 8) + [0x30, 0, 0, 0, 0, 0, 0, 0])
    #expect(
      problem(fixture, reading: "m.biases").says(
        "/source: tensor 'm.qzeros': … output 2, group 1 … 3 … 0 … 4"))
  }

  @Test func `refuses symmetric zero points of no version`() {
    var fixture = QuantizedFixture.gptq(sample, isSymmetric: true)
    fixture.set("m.qzeros", .i32, [2, 2], [UInt8](repeating: 0x55, count: 15) + [0xaa])
    #expect(
      problem(fixture).says("/source: tensor 'm.qzeros': symmetric 2-bit … point 2 … 1 … 2 …"))
  }

  @Test(
    arguments: [
      (.nan, .f16, "m.scales", "tensor 'm.scales': value 0 … finite"),
      (3e38, .bf16, "m.biases", "tensor 'm.scales': scale 3.0040553e+38 times 3 overflows"),
    ] as [(Float, DType, String, String)])
  func `refuses scales that give no weights`(scale: Float, dtype: DType, name: String, reason: String) {
    var fixture = QuantizedFixture.gptq(sample, shift: 0, adding: #", "format": "gptq_v2""#)
    fixture.set("m.qzeros", .i32, [2, 2], [UInt8](repeating: 0xff, count: 16))
    let scales = [Float](repeating: scale, count: 64)
    fixture.set("m.scales", dtype, [2, 32], TensorBytes(scales, as: dtype).array)
    #expect(problem(fixture, reading: name).says("/source: " + reason))
  }

  @Test func `refuses scales in F32 whose products round`() {
    var sample = sample
    sample.scales[0] = 1.0000001
    let fixture = QuantizedFixture.compressedTensors(sample, isSymmetric: true, scales: .f32)
    #expect(
      problem(fixture, reading: "m.biases").says(
        "/source: tensor 'm.weight_scale': scale 1.0000001 … F32 … point 2 … 3 times … exact"))
  }

  @Test(arguments: [
    ("", #", "kv_cache_scheme": {"num_bits": 8}"#, "'kv_cache_scheme': a checkpoint with it is not read"),
    ("", #", "sparsity_config": {"format": "x"}"#, "'sparsity_config': a checkpoint with it is not read"),
    ("", #", "transform_config": {"x": 1}"#, "'transform_config': a checkpoint with it is not read"),
    (
      #", "dynamic": true"#, "",
      "'group_0': 'weights': 'dynamic': codes that are computed at run time are not supported"
    ),
  ])
  func `refuses more than weights`(weights: String, more: String, reason: String) {
    let found = problem(.compressedTensors(sample, isSymmetric: false, weights: weights, adding: more))
    #expect(found?.contains(reason) == true, "\(found ?? "-")")
  }

  @Test(arguments: [
    ("pack-quantized", "marlin-24", "'format': format 'marlin-24'"),
    ("\"compressed\"", "\"frozen\"", "'quantization_status': status 'frozen'"),
    ("\"int\"", "\"float\"", "'config_groups': 'group_0': 'weights': 'type': type 'float'"),
    ("\"strategy\": \"group\"", "\"strategy\": \"block\"", "'weights': 'strategy': strategy 'block'"),
    ("\"num_bits\": 2", "\"num_bits\": 6", "'weights': 6-bit codes"),
    ("\"num_bits\": 2,", "", "'weights': integer 'num_bits' is missing"),
    ("\"Linear\"", "\"Conv1D\"", "'group_0': 'targets': class 'Conv1D'"),
    ("\"Linear\"", "\"re:(\"", "'group_0': 'targets': expression 're:(' is not supported"),
    ("\"input_activations\": null", "\"input_activations\": {}", ""),
    (
      "\"input_activations\": null", "\"input_activations\": {\"num_bits\": 8}",
      "'input_activations': a checkpoint with it is not read"
    ),
    ("[\"lm_head\"]", "[\"m\"]", "the configuration says that the module is not quantized"),
    ("[\"lm_head\"]", "[\"re:.*m$\"]", "the configuration says that the module is not quantized"),
    ("[\"lm_head\"]", "3", "'ignore': is not a list"),
    ("config_groups", "x", "object 'config_groups' is missing"),
  ])
  func `refuses a value of compressed-tensors`(text: String, replacement: String, reason: String) {
    var fixture = QuantizedFixture.compressedTensors(sample, isSymmetric: false)
    fixture.configuration = fixture.configuration.replacing(text, with: replacement)
    let found = problem(fixture)
    if reason.isEmpty {
      #expect(found == nil)
    } else {
      #expect(found?.contains(reason) == true, "\(found ?? "-")")
    }
  }

  @Test(
    arguments: [
      ("m.weight_shape", .i64, [2], "tensor 'm.weight_shape' of 2 bits: … [0, 0] … [32, 64]"),
      ("m.weight_shape", .i64, [3], "tensor 'm.weight_shape': … I64 [3] … 2 integers"),
      (
        "m.weight_zero_point", .i32, [2, 1],
        "tensor 'm.weight_zero_point' of 2 bits in groups of 32: … [2, 1] … [2, 2]"
      ),
      (
        "x.weight_scale", .bf16, [1],
        "tensor 'x.weight_scale': … 'x.weight_packed'"
      ),
    ] as [(String, DType, [Int], String)])
  func `refuses tensors of compressed-tensors`(name: String, dtype: DType, shape: [Int], reason: String) {
    var fixture = QuantizedFixture.compressedTensors(sample, isSymmetric: false)
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason))
  }

  @Test func `refuses zero points of symmetric codes`() {
    var fixture = QuantizedFixture.compressedTensors(sample, isSymmetric: true)
    fixture.set("m.weight_zero_point", .i32, [2, 2])
    #expect(
      problem(fixture).says("/source: tensor 'm.weight_zero_point': … symmetric"))
  }

  @Test(arguments: [
    ("auto_round:awq", "", "'packing_format': … 'auto_round:awq' …"),
    ("auto_round", #", "act_bits": 8"#, "'act_bits': … 8 bits …"),
    ("auto_round", #", "super_bits": 6"#, "'super_bits': … checkpoint … read"),
    ("auto_round", #", "extra_config": 1"#, "'extra_config': … object"),
    ("auto_round", #", "extra_config": {"m": {"data_type": "mx_fp"}}"#, "'data_type': … 'mx_fp' …"),
    ("auto_round", #", "modules_to_not_convert": ["("]"#, "'modules_to_not_convert': … '(' …"),
  ])
  func `refuses a configuration of AutoRound`(packing: String, more: String, reason: String) {
    let fixture = QuantizedFixture.autoRound(
      sample, packing: packing, shift: 0, isSymmetric: false, adding: more)
    #expect(problem(fixture).says("/source/config.json: key 'quantization_config': " + reason))
  }

  @Test(
    arguments: [
      (
        "m.weight", .i8, [2, 31], "tensor 'm.weight': 31 4-bit codes do not fill whole words"
      ),
      ("m.weight", .i8, [64], "tensor 'm.weight': is I8 [64] … 2 dimensions …"),
      ("m.weight_scale", .bf16, [2], "tensor 'm.weight_scale' … [2], expected [2, 1]"),
      ("m.weight_scale", .bf16, [1, 1], "tensor 'm.weight_scale' … [1, 1], expected [2, 1]"),
      ("m.weight_scale", .i8, [2, 1], "tensor 'm.weight_scale': I8 … supported; F16, BF16 and F32 are"),
      ("m.weight_zero_point", .i8, [2, 1], "tensor 'm.weight_zero_point': … symmetric"),
      ("n.weight", .i8, [2, 32], "tensor 'n.weight_scale' is missing"),
      ("n.weight_scale", .bf16, [2, 1], "tensor 'n.weight_scale': belongs to no module …"),
    ] as [(String, DType, [Int], String)])
  func `refuses tensors of codes in bytes`(name: String, dtype: DType, shape: [Int], reason: String) {
    var fixture = QuantizedFixture.bytes()
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason), "\(problem(fixture) ?? "-")")
  }

  @Test func `refuses a code in a byte that has too many bits`() {
    var fixture = QuantizedFixture.bytes()
    fixture.set("m.weight", .i8, [2, 32], [UInt8](repeating: 7, count: 63) + [8])
    #expect(
      problem(fixture, reading: "m.weight").says(
        "/source: tensor 'm.weight': value 63 is 8, which has more than 4 bits"))
    fixture.set("m.weight", .i8, [2, 32], [UInt8](repeating: 7, count: 63) + [UInt8(bitPattern: -9)])
    #expect(
      problem(fixture, reading: "m.weight").says(
        "/source: tensor 'm.weight': value 63 is -9, which has more than 4 bits"))
  }

  @Test func `refuses zero points of codes in bytes that are no bytes`() {
    var fixture = QuantizedFixture.bytes(#", "symmetric": false"#)
    #expect(problem(fixture).says("/source: tensor 'm.weight_zero_point' is missing"))
    fixture.set("m.weight_zero_point", .i32, [2, 1])
    #expect(problem(fixture).says("/source: tensor 'm.weight_zero_point': I32 … supported; I8 is"))
  }

  @Test(arguments: [
    ("\"gemm\"", "\"gemv\"", "'version': packing 'gemv' is not supported; gemm is"),
    (
      "\"version\": \"gemm\"", "\"format\": \"marlin\"",
      "'format': packing 'marlin' is not supported; gemm is"
    ),
    ("\"zero_point\": true", "\"zero_point\": false", "'zero_point': … without zero points …"),
    ("\"bits\": 4", "\"bits\": 8", "8-bit codes are not supported"),
    ("\"group_size\": 72,", "", "integer 'group_size' is missing"),
    ("\"group_size\": 72,", "\"group_size\": 0,", "groups of 0 columns"),
  ])
  func `refuses a configuration of AWQ`(text: String, replacement: String, reason: String) {
    var fixture = QuantizedFixture.awq
    fixture.configuration.replace(text, with: replacement)
    #expect(
      problem(fixture).says("/source/config.json: key 'quantization_config': " + reason),
      "\(problem(fixture) ?? "-")")
  }

  @Test(
    arguments: [
      ("m.qweight", .i32, [36, 9], "tensor 'm.qweight': 36 4-bit codes do not fill whole words"),
      ("m.qweight", .i32, [144, 9], "tensor 'm.qzeros' … [1, 9], expected [2, 9]"),
      ("m.qzeros", .i32, [1, 72], "tensor 'm.qzeros' … [1, 72], expected [1, 9]"),
      ("m.scales", .f16, [72, 1], "tensor 'm.scales' … [72, 1], expected [1, 72]"),
      ("m.weight", .f16, [72, 72], "tensor 'm.qweight': the module has 'm.weight' too"),
    ] as [(String, DType, [Int], String)])
  func `refuses tensors of AWQ`(name: String, dtype: DType, shape: [Int], reason: String) {
    var fixture = QuantizedFixture.awq
    fixture.set(name, dtype, shape)
    #expect(problem(fixture).says("/source: " + reason), "\(problem(fixture) ?? "-")")
  }
}
