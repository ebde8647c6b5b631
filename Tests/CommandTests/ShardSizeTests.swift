import Checkpoints
import Foundation
import TestSupport
import Testing

/// `--shard-size`, in decimal units.
@Suite struct ShardSizeTests {
  private func shards(of folder: TemporaryFolder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path("out")).sorted()
      .filter { $0.hasSuffix(".safetensors") }
  }

  @Test(arguments: [("400KB", 400_000), ("0.5mb", 500_000), ("300000", 300_000)])
  func `no file has more bytes of tensors than asked for`(size: String, limit: Int) throws {
    let folder = try folderWithFixture()
    try succeed("convert", "model", "out", "--shard-size", size, in: folder)
    let names = try shards(of: folder)
    #expect(names.count > 2)
    for name in names {
      let tensors = try Checkpoint.open(path: folder.path("out/" + name)).contents.tensors
      #expect(tensors.reduce(0) { $0 + $1.byteCount } <= limit || tensors.count == 1)
    }
    #expect(try Program.run("diff", "model", "out", in: folder).code == 0)
  }

  @Test func `the largest of all sizes is one file`() throws {
    let folder = try folderWithFixture()
    try succeed("convert", "model", "out", "--shard-size", "5GB", in: folder)
    #expect(try shards(of: folder) == ["model.safetensors"])
  }

  @Test(arguments: ["5GiB", "0", "-1", "MB", "1.2.3MB", "9e9TB", "99999999999TB"])
  func `refuses what is no size`(size: String) throws {
    let result = try Program.run("convert", "model", "out", "--shard-size=" + size, in: folderWithModel())
    #expect(result.code == 64)
    #expect(result.error.says("rilq: --shard-size \(size): … 500MB … 5GB\n"))
  }

  @Test func `refuses a size for one file`() throws {
    let result = try Program.run("convert", "model", "a.rilq", "--shard-size", "1GB", in: folderWithModel())
    #expect(result.code == 64)
    #expect(result.error.says("rilq: --shard-size: goes … safetensors …\n"))
  }
}
