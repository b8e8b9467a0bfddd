#!/usr/bin/env python3
"""The judgement of guards_test.py: what it lets pass and what not."""

import unittest

from guards_test import complaints

RECORDED = {"instructions": 1000, "allocations": 0, "reads": 2}


class Judgement(unittest.TestCase):
    def judge(self, **changes):
        return list(complaints("path", {**RECORDED, **changes}, RECORDED))

    def test_what_is_as_recorded_or_nearly_passes(self):
        for now in ({}, {"instructions": 1100}, {"instructions": 800}, {"allocations": 0.002}):
            self.assertEqual(self.judge(**now), [], now)

    def test_growth_and_great_shrinkage_fail(self):
        self.assertIn("11% more", self.judge(instructions=1110)[0])
        self.assertIn("update the record", self.judge(instructions=790)[0])

    def test_a_single_allocation_or_call_more_fails(self):
        self.assertEqual(self.judge(allocations=1), ["path: allocations 1, recorded 0"])
        self.assertEqual(self.judge(reads=3), ["path: reads 3, recorded 2"])

    def test_what_is_not_recorded_fails(self):
        self.assertEqual(self.judge(news=1), ["path: news is not recorded"])


if __name__ == "__main__":
    unittest.main()
