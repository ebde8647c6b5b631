import Foundation
import TestSupport
import Testing

/// The inputs that fuzzing found worth keeping, through the same functions.
@Suite struct FuzzCorpusTests {
  private static let targets = FuzzTarget.allCases

  private func inputs(_ target: FuzzTarget) throws -> [[UInt8]] {
    let folder = Fixtures.path("fuzz/\(target.rawValue)")
    return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { name in
      Array(try Data(contentsOf: URL(filePath: "\(folder)/\(name)")))
    }
  }

  @Test(arguments: targets) func `reads the corpus or refuses it`(target: FuzzTarget) throws {
    let inputs = try inputs(target)
    #expect(!inputs.isEmpty)
    #expect(inputs.count { target.read($0) } > 0)
  }

  @Test(arguments: targets) func `reads every beginning of an input or refuses it`(target: FuzzTarget) throws
  {
    for input in try inputs(target).sorted(by: { $0.count < $1.count }).prefix(40) {
      for count in stride(from: 0, to: input.count, by: max(1, input.count / 16)) {
        target.read(Array(input[..<count]))
      }
    }
  }

  @Test(arguments: targets) func `reads an input with a changed bit or refuses it`(target: FuzzTarget) throws
  {
    var random = SplitMix64(seed: 11)
    for input in try inputs(target) where !input.isEmpty {
      var changed = input
      changed[Int.random(in: 0..<input.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      target.read(changed)
    }
  }
}
