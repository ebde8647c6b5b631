import Checkpoints
import Foundation
import TestSupport
import Testing

/// The libraries that are there, and what is written for them.
private let peerCases: [(String, IntegerFormat)] =
  (PythonPeer.has("safetensors", "torch", "compressed_tensors.compressors.pack_quantized.base")
    ? [("compressed-tensors", .compressedTensors)] : [])
  + (PythonPeer.has("safetensors", "torch", "auto_round_extension.torch.qlinear_torch_zp")
    ? [("auto-round", .autoRound)] : [])

/// The weights of module `m` as this package computes them, in f32.
private func weights(of checkpoint: Checkpoint) throws -> [Float] {
  let parameters = try #require(checkpoint.contents.quantization["m"])
  let shape = try #require(checkpoint.tensor(named: "m.weight")).shape
  let words = try checkpoint.copiedBytes(of: "m.weight")
  let scales = try Fixtures.floats("m.scales", in: checkpoint)
  let biases = try Fixtures.floats("m.biases", in: checkpoint)
  let (bits, columns) = (parameters.bits, shape[1] * 32 / parameters.bits)
  return (0..<shape[0] * columns).map { i in
    var code = 0
    for bit in 0..<bits {
      let position = i * bits + bit
      code |= Int(words[position / 8] >> UInt8(position % 8) & 1) << bit
    }
    let group = i / parameters.groupSize
    let product = scales[group] * Float(code)
    return product + biases[group]
  }
}

@Suite struct `Python readers of integer zero points` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func found(_ name: String) throws -> [Float] {
    let bytes = try folder.read(name + "/m.f32")
    return stride(from: 0, to: bytes.count, by: 4).map { i in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[i + $1]) << UInt32(8 * $1) })
    }
  }

  private func source(_ bits: Int, _ isSymmetric: Bool) throws -> Checkpoint {
    let sample = IntegerSample(
      outputCount: 64, inputCount: 96, bits: bits, isSymmetric: isSymmetric, seed: UInt64(bits))
    return try QuantizedFixture.compressedTensors(sample, isSymmetric: isSymmetric)
      .open(in: folder, "source-\(bits)-\(isSymmetric)")
  }

  @Test(
    .enabled(if: PythonPeer.has("numpy"), "skipped: no Python with numpy"), arguments: [2, 3, 4, 8],
    [IntegerFormat.gptq, .gptqV2, .autoRound, .compressedTensors])
  func `an independent decoder finds the same weights`(bits: Int, format: IntegerFormat) throws {
    for isSymmetric in [false, true] {
      let checkpoint = try source(bits, isSymmetric)
      let name = "written-\(isSymmetric)"
      try checkpoint.write(format, to: folder.path(name))
      try PythonPeer.runReader("integer_reader.py", [folder.path(name), folder.path(name)])
      #expect(try found(name) == weights(of: checkpoint))
    }
  }

  /// The widths that both libraries hold in 16-bit products, symmetric and not.
  private static let cases = [2, 3, 4].flatMap { [($0, false), ($0, true)] }

  @Test(
    .enabled(if: !peerCases.isEmpty, "skipped: no Python with compressed_tensors or auto_round"),
    arguments: peerCases)
  func `the libraries read what we write`(library: String, format: IntegerFormat) throws {
    let checkpoints = try Self.cases.map(source)
    let names = Self.cases.map { "written-\($0)-\($1)" }
    for (checkpoint, name) in zip(checkpoints, names) { try checkpoint.write(format, to: folder.path(name)) }
    try PythonPeer.runReader("integer_peers.py", [library, "read"] + names.map(folder.path))
    for (checkpoint, name) in zip(checkpoints, names) {
      #expect(try found(name) == weights(of: checkpoint), "\(name)")
    }
  }

  @Test(
    .enabled(if: !peerCases.isEmpty, "skipped: no Python with compressed_tensors or auto_round"),
    arguments: peerCases)
  func `reads what the libraries write`(library: String, format: IntegerFormat) throws {
    try PythonPeer.runReader("integer_peers.py", [library, "write", folder.path("theirs")])
    for (bits, isSymmetric) in Self.cases {
      let name = "theirs/\(bits)-\(isSymmetric)"
      #expect(try weights(of: Checkpoint.open(path: folder.path(name))) == found(name), "\(name)")
    }
  }
}
