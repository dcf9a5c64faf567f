"""Contracts: what a part of each kind must keep, for plug-ins as for what this package brings.

``layered-nst plugins check NAME`` tests them; so does pytest:

    import pytest
    from layered_nst.testing import contracts

    @pytest.mark.parametrize("contract", contracts("studio"), ids=str)
    def test_it_keeps_what_it_promises(contract):
        contract()
"""

from layered_nst.testing.contracts import Contract, NotHere, contracts

__all__ = ["Contract", "NotHere", "contracts"]
