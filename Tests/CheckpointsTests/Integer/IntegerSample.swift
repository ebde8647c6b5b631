import Checkpoints
import TestSupport

/// A quantized linear with integer zero points, and its tensors in each layout, packed bit by bit.
struct IntegerSample {
  var outputCount: Int
  var inputCount: Int
  var bits = 2
  var groupSize = 32
  /// `[out, in]`.
  var codes: [Int] = []
  /// `[out, groups]`.
  var scales: [Float] = []
  /// `[out, groups]`.
  var zeroPoints: [Int] = []

  var groupCount: Int { inputCount / groupSize }

  /// Random codes and scales that F16 and BF16 hold; zero points from 1, or the middle one.
  init(
    outputCount: Int, inputCount: Int, bits: Int = 2, groupSize: Int = 32, isSymmetric: Bool = false,
    seed: UInt64 = 1
  ) {
    (self.outputCount, self.inputCount, self.bits) = (outputCount, inputCount, bits)
    self.groupSize = groupSize
    var random = SplitMix64(seed: seed)
    let top = 1 << bits - 1
    codes = (0..<outputCount * inputCount).map { _ in Int.random(in: 0...top, using: &random) }
    scales = (0..<outputCount * groupCount).map { _ in
      Float(Int.random(in: 1...127, using: &random)) * (Bool.random(using: &random) ? 0x1p-10 : -0x1p-10)
    }
    zeroPoints = (0..<outputCount * groupCount).map { _ in
      isSymmetric ? 1 << (bits - 1) : Int.random(in: 1...top, using: &random)
    }
  }

  /// Every row the codes of the worked example, with scale 0.0625 and zero point 2.
  static let worked: IntegerSample = {
    var sample = IntegerSample(outputCount: 32, inputCount: 32, isSymmetric: true)
    let row = [
      0, 1, 2, 3, 3, 2, 1, 0, 0, 0, 1, 1, 2, 2, 3, 3, 1, 3, 0, 2, 2, 0, 3, 1, 3, 3, 2, 2, 1, 1, 0, 0,
    ]
    sample.codes = (0..<32).flatMap { _ in row }
    sample.scales = [Float](repeating: 0.0625, count: 32)
    return sample
  }()

  /// The words of a run of fields, lowest bits first; the last word is filled with zeros.
  static func words(_ fields: [Int], bits: Int) -> [UInt32] {
    var words = [UInt32](repeating: 0, count: (fields.count * bits + 31) / 32)
    for (i, field) in fields.enumerated() {
      for bit in 0..<bits where field >> bit & 1 == 1 {
        let position = i * bits + bit
        words[position / 32] |= 1 << UInt32(position % 32)
      }
    }
    return words
  }

  private func column(_ values: [Int], _ index: Int, width: Int) -> [Int] {
    stride(from: index, to: values.count, by: width).map { values[$0] }
  }

  private func row(_ values: [Int], _ index: Int, width: Int) -> [Int] {
    Array(values[index * width..<(index + 1) * width])
  }

  /// The words of the codes, `[out, in * bits / 32]`.
  var codeWords: [UInt32] {
    (0..<outputCount).flatMap { Self.words(row(codes, $0, width: inputCount), bits: bits) }
  }

  /// The tensors of GPTQ; `shift` is what v1 subtracts from zero points.
  func gptq(_ module: String, shift: Int, groupIndex: Bool = true) -> [(TensorInfo, [UInt8])] {
    let wordCount = inputCount * bits / 32
    let qweight = (0..<wordCount).flatMap { word in
      (0..<outputCount).map { codeWords[$0 * wordCount + word] }
    }
    let qzeros = (0..<groupCount).flatMap { group in
      Self.words(column(zeroPoints, group, width: groupCount).map { $0 - shift }, bits: bits)
    }
    let scaleRows = (0..<groupCount).flatMap { group in
      (0..<outputCount).map { scales[$0 * groupCount + group] }
    }
    let tensors: [(TensorInfo, [UInt8])] = [
      (info(module + ".qweight", .i32, [wordCount, outputCount]), qweight.flatMap(\.littleEndianBytes)),
      (
        info(module + ".qzeros", .i32, [groupCount, outputCount * bits / 32]),
        qzeros.flatMap(\.littleEndianBytes)
      ),
      (info(module + ".scales", .f16, [groupCount, outputCount]), TensorBytes(scaleRows, as: .f16).array),
    ]
    let index = (0..<inputCount).flatMap { UInt32($0 / groupSize).littleEndianBytes }
    return groupIndex ? tensors + [(info(module + ".g_idx", .i32, [inputCount]), index)] : tensors
  }

  /// The tensors of compressed-tensors, without zero points for symmetric codes.
  func compressedTensors(
    _ module: String, isSymmetric: Bool, scales dtype: DType = .bf16
  ) -> [(TensorInfo, [UInt8])] {
    let shape = [outputCount, 0, inputCount, 0].flatMap { UInt32($0).littleEndianBytes }
    let tensors: [(TensorInfo, [UInt8])] = [
      (
        info(module + ".weight_packed", .i32, [outputCount, inputCount * bits / 32]),
        codeWords.flatMap(\.littleEndianBytes)
      ),
      (
        info(module + ".weight_scale", dtype, [outputCount, groupCount]), TensorBytes(scales, as: dtype).array
      ),
      (info(module + ".weight_shape", .i64, [2]), shape),
    ]
    guard !isSymmetric else { return tensors }
    let runs = (0..<groupCount).map {
      Self.words(column(zeroPoints, $0, width: groupCount), bits: bits)
    }
    let words = runs[0].indices.flatMap { word in runs.map { $0[word] } }
    return tensors + [
      (
        info(module + ".weight_zero_point", .i32, [runs[0].count, groupCount]),
        words.flatMap(\.littleEndianBytes)
      )
    ]
  }

  private func info(_ name: String, _ dtype: DType, _ shape: [Int]) -> TensorInfo {
    TensorInfo(name: name, dtype: dtype, shape: shape)
  }

  /// The weights, each rounded once to f32.
  var weights: [Float] {
    codes.indices.map { i in
      let group = i / inputCount * groupCount + i % inputCount / groupSize
      return scales[group] * Float(codes[i] - zeroPoints[group])
    }
  }
}

/// A folder with packed tensors and a configuration.
struct QuantizedFixture {
  var tensors: [(TensorInfo, [UInt8])]
  var configuration: String

  /// One module `m` in GPTQ's layout.
  static func gptq(
    _ sample: IntegerSample, shift: Int = 1, isSymmetric: Bool = false, adding more: String = ""
  ) -> QuantizedFixture {
    QuantizedFixture(
      tensors: sample.gptq("m", shift: shift),
      configuration: """
        {"quantization_config": {"quant_method": "gptq", "bits": \(sample.bits), "group_size": \(sample.groupSize),
         "sym": \(isSymmetric), "desc_act": false\(more)}}
        """)
  }

  /// One module `m` in AutoRound's layout.
  static func autoRound(
    _ sample: IntegerSample, packing: String, shift: Int, isSymmetric: Bool, adding more: String = ""
  ) -> QuantizedFixture {
    QuantizedFixture(
      tensors: sample.gptq("m", shift: shift, groupIndex: false),
      configuration: """
        {"quantization_config": {"quant_method": "auto-round", "packing_format": "\(packing)",
         "bits": \(sample.bits), "group_size": \(sample.groupSize), "sym": \(isSymmetric), "data_type": "int"\(more)}}
        """)
  }

  /// One module `m` in the layout of compressed-tensors.
  static func compressedTensors(
    _ sample: IntegerSample, isSymmetric: Bool, weights: String = "", adding more: String = "",
    scales: DType = .bf16
  ) -> QuantizedFixture {
    QuantizedFixture(
      tensors: sample.compressedTensors("m", isSymmetric: isSymmetric, scales: scales),
      configuration: """
        {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized",
         "quantization_status": "compressed", "ignore": ["lm_head"]\(more), "config_groups": {"group_0": {"targets":
         ["Linear"], "input_activations": null, "weights": {"num_bits": \(sample.bits), "type": "int",
         "symmetric": \(isSymmetric), "strategy": "group", "group_size": \(sample.groupSize)\(weights)}}}}}
        """)
  }

  /// One module `m` of 2 x 32 codes of 4 bits, each in a byte.
  static func bytes(_ weights: String = "") -> QuantizedFixture {
    var fixture = QuantizedFixture(
      tensors: [],
      configuration: """
        {"quantization_config": {"quant_method": "compressed-tensors", "format": "int-quantized",
         "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": {"num_bits": 8},
         "weights": {"num_bits": 4, "type": "int", "strategy": "channel"\(weights)}}}}}
        """)
    fixture.set("m.weight", .i8, [2, 32])
    fixture.set("m.weight_scale", .bf16, [2, 1])
    return fixture
  }

  /// One module `m` of 72 x 72 in AWQ's layout, whose codes and zero points are the outputs modulo 8.
  static let awq: QuantizedFixture = {
    var fixture = QuantizedFixture(
      tensors: [],
      configuration: """
        {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 72, "version": "gemm",
         "zero_point": true, "modules_to_not_convert": ["lm_head"]}}
        """)
    let words = { (count: Int) in (0..<count).flatMap { _ in UInt32(0x7531_6420).littleEndianBytes } }
    fixture.set("m.qweight", .i32, [72, 9], words(72 * 9))
    fixture.set("m.qzeros", .i32, [1, 9], words(9))
    fixture.set(
      "m.scales", .f16, [1, 72], TensorBytes([Float](repeating: 0.5, count: 72), as: .f16).array)
    return fixture
  }()

  /// Replaces a tensor, or adds it.
  mutating func set(_ name: String, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]? = nil) {
    let tensor = TensorInfo(name: name, dtype: dtype, shape: shape)
    let value = (tensor, bytes ?? [UInt8](repeating: 0, count: tensor.byteCount))
    tensors.removeAll { $0.0.name == name }
    tensors.append(value)
  }

  mutating func remove(_ name: String) { tensors.removeAll { $0.0.name == name } }

  /// Writes and opens it.
  func open(in folder: TemporaryFolder, _ name: String = "source") throws -> Checkpoint {
    var sample = SampleCheckpoint(tensors.map(\.0))
    for (tensor, bytes) in tensors { sample.values[tensor.name] = bytes }
    try sample.write(to: folder.path(name))
    try folder.write(name + "/config.json", configuration)
    return try Checkpoint.open(path: folder.path(name))
  }
}

extension Checkpoint {
  /// Writes the checkpoint as a folder with integer zero points.
  ///
  /// - Returns: What the writer reports.
  @discardableResult
  func write(_ format: IntegerFormat, to path: String, allowsLoss: Bool = false) throws -> JSONValue {
    let writer = try IntegerFolderWriter(
      contents, source: self, folder: path, format: format, allowsLoss: allowsLoss)
    for tensor in contents.tensors { try bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) } }
    for asset in contents.assets {
      try self.asset(named: asset.name)?.withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    return writer.report
  }
}
