"""The bank: its tables, a transfer, and what must be true of it at any time. All pure."""

from typing import Final

ACCOUNTS: Final = 100
OPENING: Final = 1000
TOTAL: Final = ACCOUNTS * OPENING
"""The sum of all balances, whatever was transferred."""

TABLES: Final = (
    "drop table if exists accounts, ledger",
    "create table accounts (id int primary key, balance bigint not null)",
    "create table ledger (w text, n int, source int not null, target int not null, "
    "amount int not null, primary key (w, n))",
    f"insert into accounts select id, {OPENING} from generate_series(1, {ACCOUNTS}) id",  # noqa: S608
)
"""The statements that open the bank."""

READ: Final = "select host(inet_server_addr()), sum(balance) from accounts"
"""Who answers, and the sum of all balances."""

ROWS: Final = "select w, n from ledger"
"""The ledger's rows, by writer and number."""

CHECK: Final = (
    "with moves as (select source as id, -amount as change from ledger "  # noqa: S608 - our number
    "union all select target, amount from ledger), "
    "changes as (select id, sum(change) as change from moves group by id) "
    "select (select sum(balance) from accounts), (select count(*) from ledger), "
    "(select count(*) from accounts left join changes using (id) "
    f"where balance <> {OPENING} + coalesce(change, 0))"
)
"""The sum, the ledger's rows, and the accounts whose balance is not what the ledger says."""


def transfer(writer: str, number: int, source: int, target: int, amount: int) -> str:
    """Return the statements of one transfer, which are one transaction.

    Accounts are always locked in the same order, so that no two writers wait for each other.
    """
    moves = sorted([(source, -amount), (target, amount)])
    updates = "".join(
        f"update accounts set balance = balance + {change} where id = {account}; "  # noqa: S608
        for account, change in moves
    )
    return (
        f"begin; {updates}"  # noqa: S608 - our own numbers
        f"insert into ledger values ('{writer}', {number}, {source}, {target}, {amount}); commit"
    )
