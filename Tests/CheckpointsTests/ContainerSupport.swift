import Checkpoints
import Foundation
import TestSupport

/// The contents of a container together with the bytes.
struct ContainerSample {
  var contents: CheckpointContents
  var tensors: [[UInt8]]
  var assets: [[UInt8]]

  /// Writes the sample.
  @discardableResult
  func write(to path: String, _ options: ContainerOptions = .init()) throws -> ContainerWriter {
    let writer = try ContainerWriter(contents, path: path, options: options)
    for (tensor, bytes) in zip(contents.tensors, tensors) { try writer.write(tensor, bytes.span.bytes) }
    for (asset, bytes) in zip(contents.assets, assets) { try writer.write(asset, bytes.span.bytes) }
    let size = try writer.finish()
    let kind = try FileSystem.kind(of: path)
    precondition(kind == .file(byteCount: size))
    return writer
  }

  /// The bytes of the sample as a file.
  func fileBytes(_ options: ContainerOptions = .init()) throws -> [UInt8] {
    let folder = try TemporaryFolder()
    try write(to: folder.path("sample.rilq"), options)
    return try folder.read("sample.rilq")
  }

  /// What a file holds, read completely and verified.
  init(reading path: String) throws {
    let checkpoint = try Checkpoint.openContainer(path: path)
    contents = checkpoint.contents
    tensors = try contents.tensors.map { try checkpoint.bytes(of: $0.name).withSpan { $0.copiedBytes() } }
    assets = try contents.assets.map {
      try checkpoint.asset(named: $0.name)?.withSpan { $0.copiedBytes() } ?? []
    }
    try ContainerFile(path: path).verify()
  }

  init(_ contents: CheckpointContents, tensors: [[UInt8]], assets: [[UInt8]]) {
    self.contents = contents
    self.tensors = tensors
    self.assets = assets
  }
}

extension ContainerSample: Equatable {}

extension ContainerSample {
  /// The worked example of `Formats/container.md`.
  static var worked: ContainerSample {
    let config = Array("{\"model_type\": \"example\"}\n".utf8)
    return ContainerSample(
      CheckpointContents(
        tensors: [
          TensorInfo(name: "m.weight", dtype: .u32, shape: [1, 2]),
          TensorInfo(name: "m.scales", dtype: .bf16, shape: [1, 1]),
          TensorInfo(name: "m.biases", dtype: .bf16, shape: [1, 1]),
        ],
        quantization: ["m": QuantizedLayout(bits: 2, groupSize: 32)],
        assets: [Asset(name: "config.json", byteCount: config.count)],
        metadata: .object([.init("source", .string("worked example"))])),
      tensors: [[0xE4, 0x1B, 0x50, 0xFA, 0x8D, 0x72, 0xAF, 0x05], [0x80, 0x3D], [0xC0, 0xBD]],
      assets: [config])
  }

  /// Tensors of every type, smooth enough to shrink, of sizes around the block size; modules with
  /// super-blocks and with zero points; assets; an adapter.
  static func everything(seed: UInt64) -> ContainerSample {
    var random = SplitMix64(seed: seed)
    let infos = DType.allCases.enumerated().map { i, dtype in
      TensorInfo(
        name: "tensor.\(i).\(dtype.rawValue)", dtype: dtype, shape: [8 * [0, 1, 8, 16, 33][i % 5], 4])
    }
    var sample = worked
    for (module, layout) in [
      ("blocks", QuantizedLayout.superBlock(.q2K)),
      ("zeros", .zeroPoint(.portable, bits: 2, groupSize: 64)),
      ("middle", .zeroPoint(.symmetric, bits: 3, groupSize: 64)),
    ] {
      let parts = layout.tensors(of: module, rows: 1, columns: 256, tables: .f32)
      sample.contents.quantization[module] = layout
      sample.contents.tensors += parts
      sample.tensors += parts.map { [UInt8](repeating: 0x2C, count: $0.byteCount) }
    }
    sample.contents.tensors += infos + [TensorInfo(name: "Ünïcode \n", dtype: .f16, shape: [])]
    sample.tensors += infos.map { info in
      (0..<info.byteCount).map { $0 % 2 == 0 ? UInt8.random(in: 0...255, using: &random) : 63 }
    }
    sample.tensors.append([0, 0x3C])
    sample.contents.adapter = AdapterParameters(kind: .pooled, rank: 16, alpha: 32.5)
    let long = [UInt8](repeating: UInt8(ascii: "a"), count: 3000)
    sample.contents.assets += [
      Asset(name: "deep/er/long", byteCount: 3000), Asset(name: "empty", byteCount: 0),
    ]
    sample.assets += [long, []]
    return sample
  }
}

/// Fields of a container's bytes, to make files that lie.
extension [UInt8] {
  static let trailerByteCount = 80

  func number(at offset: Int, bytes count: Int) -> Int {
    (0..<count).reduce(0) { $0 | Int(self[offset + $1]) << (8 * $1) }
  }

  mutating func set(_ value: UInt64, at offset: Int, bytes count: Int) {
    replaceSubrange(offset..<offset + count, with: value.littleEndianBytes.prefix(count))
  }

  var tableOffset: Int { number(at: count - Self.trailerByteCount, bytes: 8) }
}

extension ArraySlice<UInt8> {
  /// CRC-32 bit by bit, as its definition has it.
  var crc32: UInt32 {
    ~reduce(~UInt32(0)) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
  }
}
