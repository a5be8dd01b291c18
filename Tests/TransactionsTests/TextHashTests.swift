import Testing
import Transactions

@Suite struct TextHashTests {
    /// XXH64 with seed 0, as its reference implementation gives it.
    @Test(
        arguments: [
            ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
            ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
            ("grocery", 0xC59F_19C2_C8C6_96A2), ("EUR", 0xF2BD_4DBF_2C72_32E5),
            ("user-1", 0xA173_746B_114C_6BE8), ("Überweisung", 0x88DB_2992_B330_B1BD),
        ] as [(String, UInt64)])
    func textsKeepTheirHash(_ text: String, _ hash: UInt64) {
        #expect(TextHash.hash(text) == hash)
    }

    /// Lengths on either side of each step of the algorithm.
    @Test(
        arguments: [
            (1, 0x1F25_C8D0_BC1F_4BB6), (3, 0x31D2_363F_52E5_64C9), (4, 0x9BB6_4B7D_66EE_9FDA),
            (7, 0x9A7B_1499_59CE_60D8), (8, 0xDAB9_9D95_C6F9_0092), (12, 0xD52E_4078_33AF_5133),
            (31, 0xA2AA_5F33_CC4A_6119), (32, 0x23C3_C17E_F790_FD97), (33, 0x50A7_CFC7_BA58_8784),
            (63, 0x5E3E_54B4_31C7_493C), (64, 0x0EB6_4B3E_F6EE_B01F), (100, 0xA61F_8D4C_170F_E531),
            (199, 0xF7EF_D343_0A01_DE39),
        ] as [(Int, UInt64)])
    func bytesKeepTheirHash(_ count: Int, _ hash: UInt64) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 3) }
        #expect(bytes.withUnsafeBytes { TextHash.hash($0) } == hash)
    }
}
