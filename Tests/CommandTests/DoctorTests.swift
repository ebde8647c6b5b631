import Checkpoints
import Kernels
import TestSupport
import Testing

@Suite struct DoctorTests {
  @Test func `names the processor, the kernels that are used, and their speed`() throws {
    let result = try succeed("doctor", "--threads", "1", "--json", in: TemporaryFolder())
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(
      document.keys == ["version", "processor", "threads", "products", "single_tokens", "mpi", "libraries"])
    #expect(document["threads"] == .integer(1))
    let instructions = document["processor"]?["instructions"]?.array?.compactMap(\.string)
    #expect(instructions == Processor.current.features.names)
    let products = try #require(document["products"]?.array)
    for (product, operands) in zip(products, ProductOperands.allCases) {
      #expect(product["operands"]?.string == operands.rawValue)
      #expect(product["kernel"]?.string == ProductBackend.best(for: operands).name)
      #expect(try #require(product["gflops"]?.double) > 0)
    }
    #expect(document["single_tokens"]?["kernel"]?.string == Int8Backend.best.name)
    #expect(try #require(document["single_tokens"]?["gigaweights_per_second"]?.double) > 0)
    let libraries = try #require(document["libraries"])
    #expect(libraries.keys == ["openblas", "libcrypto", "zlib", "zstd"])
    for name in libraries.keys {
      #expect(try #require(libraries[name]?.string).contains { $0.isNumber }, "\(name)")
    }
  }

  @Test func `says the same in lines`() throws {
    let result = try succeed("doctor", "--threads", "1", in: TemporaryFolder())
    for part in ["AVX", "GFLOP/s", "at 2 bits", ProductBackend.best(for: .bf16).name, "openblas"]
    where part != "AVX" || !Processor.current.features.isEmpty {
      #expect(result.output.contains(part), "\(part)")
    }
  }
}
