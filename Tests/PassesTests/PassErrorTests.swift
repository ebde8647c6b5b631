import Passes
import Testing

@Suite struct PassErrorTests {
  @Test(arguments: [
    (PassError.usage("no text"), "no text"),
    (
      .recipe(RecipePlace(path: "r.yaml", origin: .line(4), key: "passes.0"), "is missing"),
      "r.yaml: line 4: key 'passes.0': is missing"
    ),
    (.unmatchedPattern("a", at: nil, nearest: nil), "pattern 'a' matches no module"),
    (.emptySelection, "targets and ignore leave no module to work on"),
    (.alreadyPacked, "nothing is left to quantize, the selected modules are packed already"),
    (
      .divisibility(tensor: "w", columns: 96, groupSize: 64, fitting: [32]),
      "tensor 'w': 96 columns are not a multiple of the group size 64; 32 would fit"
    ),
    (
      .divisibility(tensor: "w", columns: 192, groupSize: 128, fitting: [32, 64]),
      "tensor 'w': 192 columns are not a multiple of the group size 128; 32 and 64 would fit"
    ),
    (
      .divisibility(tensor: "w", columns: 7, groupSize: 64, fitting: []),
      "tensor 'w': 7 columns are not a multiple of the group size 64, nor of any other"
    ),
    (.notFinite(tensor: "w\n", index: 5), "tensor 'w\\u{a}': value 5 is not finite"),
    (.notExact("adapter 'a' is dense"), "adapter 'a' is dense"),
    (.checkFailed("max_kl is 0.1, the limit is 0.0001"), "max_kl is 0.1, the limit is 0.0001"),
  ])
  func `says what is wrong on one line`(error: PassError, text: String) {
    #expect(error.description == text)
  }

  @Test(arguments: [
    ("", "", 0), ("a", "", 1), ("bits", "bitz", 1), ("ab", "ba", 1), ("kitten", "sitting", 3),
  ])
  func `counts the edits between two words`(first: String, second: String, distance: Int) {
    #expect(editDistance(first, second) == distance)
    #expect(editDistance(second, first) == distance)
  }

  @Test func `names the first of equally near words`() {
    #expect(nearestName(to: "ac", among: ["xyz", "ab", "ad"]) == "ab")
    #expect(nearestName(to: "a", among: []) == nil)
  }
}
